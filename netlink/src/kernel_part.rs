//! Whether the kernel has what podlan's rtnetlink requests need, found by requests that change nothing.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::InfoKind;
use nix::errno::Errno;
use rtnetlink::{LinkMessageBuilder, LinkVeth};

use crate::request::Request;
use crate::socket::{Error, Socket};

/// A link's name must not have a slash (`dev_valid_name`), so that a link of this one is never made.
const NO_NAME: &str = "podlan/veth";

/// A group address, which no link has: `veth` refuses it before it makes anything.
const NO_MAC: [u8; 6] = [1, 0, 0, 0, 0, 0];

/// Whether the kernel makes links of the kind `veth` (`CONFIG_VETH`); it loads the module where there is one. It is asked for a
/// link that cannot be, and says whether it minds the kind (`EOPNOTSUPP`) or the address.
///
/// # Errors
/// When it cannot be asked, as without `CAP_NET_ADMIN`.
pub fn makes_veth(socket: &mut Socket) -> Result<bool, Error> {
    let link = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(NO_NAME.to_owned())
        .address(NO_MAC.to_vec())
        .build();
    let request = Request::create(RouteNetlinkMessage::NewLink(link));
    match socket.request(&mut [request])?.pop() {
        Some(Err(refused)) if refused.errno == Errno::EOPNOTSUPP => Ok(false),
        Some(Err(refused)) if matches!(refused.errno, Errno::EADDRNOTAVAIL | Errno::EINVAL) => Ok(true),
        Some(Err(refused)) => Err(Error::Link(refused)),
        Some(Ok(())) | None => Ok(true),
    }
}

/// Whether the kernel selects the objects of dumps itself (`NETLINK_GET_STRICT_CHK`, since Linux 4.20).
///
/// # Errors
/// When the socket refuses for another reason.
pub fn selects(socket: &mut Socket) -> Result<bool, Error> {
    socket.set_strict()
}
