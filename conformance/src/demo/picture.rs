//! The picture: the LAN, the nodes on it, the pods on them. Pure.

use super::stage::Host;
use crate::lab::{Lab, Node};

/// Draws the nodes side by side, hanging from the LAN.
pub(super) fn draw(lab: &Lab, hosts: &[Host]) -> String {
    let nodes = lab.nodes().iter().enumerate();
    side_by_side(&nodes.map(|(index, node)| inside(index, node, hosts)).collect::<Vec<_>>())
}

fn side_by_side(boxes: &[Vec<String>]) -> String {
    let width = boxes.iter().flatten().map(|line| line.chars().count()).max().unwrap_or(0);
    let height = boxes.iter().map(Vec::len).max().unwrap_or(0);
    let middle = (width + 2) / 2;

    let bar = |left: char, fill: char, middle_mark: char, right: char| -> String {
        let line = |index: usize| if index == middle { middle_mark } else { fill };
        std::iter::once(left).chain((0..width + 2).map(line)).chain(std::iter::once(right)).collect()
    };
    let row = |draw: &dyn Fn(usize) -> String| -> String {
        let cells: Vec<String> = (0..boxes.len()).map(draw).collect();
        format!("  {}\n", cells.join("  ").trim_end())
    };

    let mut text = lan(boxes.len(), width + 4, middle + 1);
    text += &row(&|_| bar('┌', '─', '┴', '┐'));
    for line in 0..height {
        text += &row(&|index| format!("│ {:<width$} │", boxes[index].get(line).map_or("", String::as_str)));
    }
    text += &row(&|_| bar('└', '─', '─', '┘'));
    text
}

/// The LAN above the boxes, with a tap over the middle of each.
fn lan(boxes: usize, width: usize, middle: usize) -> String {
    let taps: Vec<usize> = (0..boxes).map(|index| index * (width + 2) + middle).collect();
    let (first, last) = (taps.first().copied().unwrap_or(0), taps.last().copied().unwrap_or(0));
    let line: String = (0..=last)
        .map(|column| match column {
            _ if column < first => ' ',
            _ if column == first => '╭',
            _ if column == last => '╮',
            _ if taps.contains(&column) => '┬',
            _ => '─',
        })
        .collect();
    format!("  {:first$}LAN 172.31.0.0/24, fd31::/64\n  {line}\n", "")
}

fn inside(index: usize, node: &Node, hosts: &[Host]) -> Vec<String> {
    let mut lines =
        vec![format!("{} {}", node.name(), node.v4()), format!("{:w$} {}", "", node.v6(), w = node.name().len())];
    lines.extend(node.pod_cidrs().iter().map(ToString::to_string));
    let pods: Vec<&Host> = hosts.iter().filter(|host| host.is_pod && host.node == index).collect();
    for (nth, pod) in pods.iter().enumerate() {
        let (branch, stem) = if nth + 1 == pods.len() { ('╰', ' ') } else { ('├', '│') };
        for (row, address) in pod.own.iter().enumerate() {
            lines.push(if row == 0 {
                format!("{branch}─ {} {address}", pod.name)
            } else {
                format!("{stem}  {address}")
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_taps_of_the_lan_meet_the_boxes() {
        let boxes = [vec!["one".into(), "two, longer".into()], vec!["three".into()], vec![]];
        let text = side_by_side(&boxes);
        assert_eq!(
            text.lines().skip(1).collect::<Vec<_>>().join("\n"),
            [
                "         ╭────────────────┬────────────────╮",
                "  ┌──────┴──────┐  ┌──────┴──────┐  ┌──────┴──────┐",
                "  │ one         │  │ three       │  │             │",
                "  │ two, longer │  │             │  │             │",
                "  └─────────────┘  └─────────────┘  └─────────────┘",
            ]
            .join("\n")
        );
    }
}
