//! The netlink messages that a program sends, read from the output of strace(1). Owns strace's arguments, the parser of
//! its dump, and the form in which two programs are compared: sequence numbers, interface numbers and file descriptors
//! are left out, as they depend on the state before; the rest is compared byte for byte.

use std::collections::BTreeMap;
use std::fmt;

/// The arguments of strace, before `-o FILE` and the command.
pub const STRACE: [&str; 5] =
    ["-f", "-qq", "--signal=none", "--trace=socket,sendto,sendmsg,sendmmsg,write,close", "--write=all"];

/// One netlink message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `NETLINK_ROUTE`, `NETLINK_NETFILTER`.
    pub protocol: String,
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// The bytes after the header.
    pub body: Vec<u8>,
}

/// The messages of each datagram that was sent, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent(pub Vec<Vec<Message>>);

/// The length of `struct nlmsghdr`.
const HEADER: usize = 16;

impl Sent {
    /// Parses the output of strace.
    #[must_use]
    pub fn read(trace: &str) -> Self {
        let mut sockets = BTreeMap::new();
        let mut sent = Vec::new();
        let mut interfaces = Interfaces::default();
        let mut lines = trace.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((_pid, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            if let Some(made) = call.strip_prefix("socket(AF_NETLINK, ") {
                if let Some((protocol, fd)) = made.split_once(") = ")
                    && let Some(protocol) = protocol.rsplit(' ').next()
                {
                    sockets.insert(fd.trim().to_owned(), protocol.to_owned());
                }
                continue;
            }
            let Some((name, arguments)) = call.split_once('(') else { continue };
            let fd = arguments.split([',', ')']).next().unwrap_or_default();
            if name == "close" {
                sockets.remove(fd);
                continue;
            }
            let mut bytes = Vec::new();
            while let Some(dump) = lines.next_if(|line| line.starts_with(" |") || line.starts_with(" * ")) {
                bytes.extend(dumped(dump));
            }
            if let (true, Some(protocol)) = (name.starts_with("send"), sockets.get(fd)) {
                sent.push(datagram(protocol, &bytes, &mut interfaces));
            }
        }
        Self(sent)
    }
}

/// The bytes of one line of a dump: ` | 00010  02 20 …  ........ |`.
fn dumped(line: &str) -> Vec<u8> {
    // Two groups of eight bytes, three characters each, and a space between.
    let hex = line.get(10..10 + 49).unwrap_or_default();
    hex.split_whitespace().map_while(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

fn datagram(protocol: &str, bytes: &[u8], interfaces: &mut Interfaces) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut rest = bytes;
    while let Some(header) = rest.get(..HEADER) {
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX).clamp(HEADER, rest.len());
        let mut message = Message {
            protocol: protocol.to_owned(),
            kind: u16::from_le_bytes([header[4], header[5]]),
            flags: u16::from_le_bytes([header[6], header[7]]),
            body: rest[HEADER..length].to_vec(),
        };
        if protocol == "NETLINK_ROUTE" {
            interfaces.renumber(&mut message);
        }
        messages.push(message);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

/// Numbers interfaces in the order in which they first appear.
#[derive(Debug, Default)]
struct Interfaces(BTreeMap<u32, u32>);

impl Interfaces {
    /// Replaces each interface number by its position in that order, and each file descriptor by 0.
    fn renumber(&mut self, message: &mut Message) {
        let Message { kind, body, .. } = message;
        match kind {
            // RTM_*LINK: ifi_index, and IFLA_NET_NS_FD at any depth.
            16..=19 => {
                self.put(body, 4);
                attributes(body, 28).for_each(|at| body[at..at + 4].fill(0));
            }
            // RTM_*ADDR and RTM_*NEIGH: ifa_index, ndm_ifindex.
            20..=22 | 28..=30 => self.put(body, 4),
            // RTM_*ROUTE: RTA_OIF, RTA_IIF.
            24..=26 => [4, 3].iter().for_each(|kind| self.each(body, *kind)),
            // RTM_SETNEIGHTBL: NDTPA_IFINDEX; RTM_GETNETCONF: NETCONFA_IFINDEX.
            67 | 80..=82 => self.each(body, 1),
            _ => {}
        }
    }

    fn each(&mut self, body: &mut [u8], kind: u16) {
        attributes(body, kind).for_each(|at| self.put(body, at));
    }

    fn put(&mut self, body: &mut [u8], at: usize) {
        let Some(field) = body.get_mut(at..at + 4) else { return };
        let number = u32::from_le_bytes([field[0], field[1], field[2], field[3]]);
        // 0 is no interface, and all bits are "all interfaces".
        if number != 0 && number != u32::MAX {
            let next = u32::try_from(self.0.len()).unwrap_or(0) + 1;
            field.copy_from_slice(&self.0.entry(number).or_insert(next).to_le_bytes());
        }
    }
}

/// The positions of the four-byte values of the attributes of this type, at any depth.
fn attributes(body: &[u8], kind: u16) -> impl Iterator<Item = usize> + use<> {
    let [low, high] = kind.to_le_bytes();
    let heads = (0..body.len().saturating_sub(7)).step_by(4);
    heads.filter(|at| body[*at..at + 4] == [8, 0, low, high]).map(|at| at + 4).collect::<Vec<_>>().into_iter()
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, datagram) in self.0.iter().enumerate() {
            writeln!(f, "datagram {}", number + 1)?;
            for Message { protocol, kind, flags, body } in datagram {
                writeln!(f, "  {protocol} type {kind} flags {flags:#06x}, {} bytes", body.len())?;
                for line in body.chunks(32) {
                    let words = line.chunks(4).map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect());
                    writeln!(f, "    {}", words.collect::<Vec<String>>().join(" "))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = r#"12    socket(AF_NETLINK, SOCK_DGRAM|SOCK_CLOEXEC, NETLINK_ROUTE) = 3
12    write(4, "x", 1) = 1
 | 00000  78                                                x                |
12    sendto(3, [{nlmsg_len=28, nlmsg_type=RTM_GETNETCONF}], 28, 0, NULL, 0) = 28
 | 00000  1c 00 00 00 52 00 01 00  06 00 00 00 00 00 00 00  ....R........... |
 | 00010  0a 00 00 00 08 00 01 00  2a 00 00 00              ....             |
12    close(3) = 0
12    sendto(3, "GET", 3, 0, NULL, 0) = 3
 | 00000  47 45 54                                          GET              |
"#;

    #[test]
    fn netlink_messages_are_read_and_interfaces_numbered_by_their_order() {
        let sent = Sent::read(TRACE);
        let body = vec![0x0a, 0, 0, 0, 8, 0, 1, 0, 1, 0, 0, 0];
        let message = Message { protocol: "NETLINK_ROUTE".into(), kind: 0x52, flags: 1, body };
        assert_eq!(sent, Sent(vec![vec![message]]));
        assert_ne!(sent, Sent::read(&TRACE.replace("0a 00 00 00", "02 00 00 00")));
        assert_eq!(sent, Sent::read(&TRACE.replace("2a 00 00 00", "2b 00 00 00").replace("06 00 00", "07 00 00")));
    }
}
