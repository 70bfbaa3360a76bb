//! The lab's own route netlink: one message, one answer. It shares no code with the code under test.

use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// A route netlink socket in the network namespace of the thread that opened it.
pub(super) struct Kernel {
    socket: Socket,
}

impl Kernel {
    pub(super) fn here() -> Result<Self, Errno> {
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(errno)?;
        socket.bind_auto().map_err(errno)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(errno)?;
        Ok(Self { socket })
    }

    /// Creates an object that must not exist yet.
    pub(super) fn create(&self, message: RouteNetlinkMessage) -> Result<(), Errno> {
        self.ask(message, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, |_| {})
    }

    /// Changes or removes an object that exists.
    pub(super) fn change(&self, message: RouteNetlinkMessage) -> Result<(), Errno> {
        self.ask(message, NLM_F_ACK, |_| {})
    }

    /// All objects that match.
    pub(super) fn dump(&self, message: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, Errno> {
        let mut objects = Vec::new();
        self.ask(message, NLM_F_DUMP, |object| objects.push(object))?;
        Ok(objects)
    }

    fn ask(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> Result<(), Errno> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map_err(errno)?;
        loop {
            let (datagram, _) = self.socket.recv_from_full().map_err(errno)?;
            let mut rest = datagram.as_slice();
            while !rest.is_empty() {
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(|_| Errno::EBADMSG)?;
                let length = usize::try_from(answer.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
                rest = rest.get(length..).unwrap_or_default();
                match answer.payload {
                    NetlinkPayload::InnerMessage(object) => each(object),
                    NetlinkPayload::Error(error) => {
                        return error.code.map_or(Ok(()), |code| Err(Errno::from_raw(code.get().abs())));
                    }
                    NetlinkPayload::Done(_) => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
