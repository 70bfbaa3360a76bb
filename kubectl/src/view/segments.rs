//! Which nodes are neighbours: a segment is what routes without a router connect. Pure.

/// The segments of `count` nodes: `direct` has for each node that answered the nodes to which it has a route without a router.
/// A node that nobody has such a route to is a segment of its own. Each is sorted; the largest is first, and of equals the one
/// with the first node.
pub(crate) fn segments(count: usize, direct: &[(usize, Vec<usize>)]) -> Vec<Vec<usize>> {
    let mut parents: Vec<usize> = (0..count).collect();
    for (one, others) in direct {
        for other in others.iter().filter(|other| **other < count && *one < count) {
            let (a, b) = (root(&mut parents, *one), root(&mut parents, *other));
            parents[a.max(b)] = a.min(b);
        }
    }
    let mut segments: Vec<Vec<usize>> = vec![Vec::new(); count];
    for node in 0..count {
        let root = root(&mut parents, node);
        segments[root].push(node);
    }
    segments.retain(|segment| !segment.is_empty());
    segments.sort_by_key(|segment| std::cmp::Reverse(segment.len()));
    segments
}

fn root(parents: &mut [usize], mut node: usize) -> usize {
    while parents[node] != node {
        parents[node] = parents[parents[node]];
        node = parents[node];
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_reach_each_other_without_a_router_are_a_segment_whoever_of_them_answered() {
        // 0 and 2 answered; 1 did not; 3 and 4 are behind a router; 5 is not known to anybody.
        let direct = [(2, vec![1]), (0, vec![2]), (4, vec![3])];
        assert_eq!(segments(6, &direct), [vec![0, 1, 2], vec![3, 4], vec![5]]);
        assert_eq!(segments(0, &[]), Vec::<Vec<usize>>::new());
        assert_eq!(segments(1, &[(0, vec![7]), (9, vec![0])]), [vec![0]], "what is no node is left out");
    }
}
