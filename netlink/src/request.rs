//! A request: one netlink message with the flags that make it an add, a replacement, a removal or a question.

use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};

/// One rtnetlink message, ready to be sent by a [`crate::Socket`].
#[derive(Clone, Debug)]
pub struct Request {
    message: NetlinkMessage<RouteNetlinkMessage>,
}

impl Request {
    /// Makes something that must not exist yet; `EEXIST` otherwise.
    pub(crate) fn create(message: RouteNetlinkMessage) -> Self {
        Self::new(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes something, or replaces the object of the same key.
    pub(crate) fn replace(message: RouteNetlinkMessage) -> Self {
        Self::new(message, NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Changes or removes what exists.
    pub(crate) fn change(message: RouteNetlinkMessage) -> Self {
        Self::new(message, 0)
    }

    /// Asks for one object.
    pub(crate) fn get(message: RouteNetlinkMessage) -> Self {
        Self::new(message, 0)
    }

    /// Asks for all objects that match.
    pub(crate) fn dump(message: RouteNetlinkMessage) -> Self {
        Self::new(message, NLM_F_DUMP)
    }

    fn new(message: RouteNetlinkMessage, flags: u16) -> Self {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        Self { message }
    }

    /// The message that it sends.
    pub(crate) fn asks(&self) -> Option<&RouteNetlinkMessage> {
        match &self.message.payload {
            NetlinkPayload::InnerMessage(message) => Some(message),
            _ => None,
        }
    }

    /// Asks the kernel for an acknowledgement of success too; it reports a failure in any case (`NLM_F_ACK`).
    pub(crate) fn acknowledge(&mut self) {
        self.message.header.flags |= NLM_F_ACK;
    }

    /// Appends the message's bytes to `datagram`, with this sequence number.
    pub(crate) fn write(&mut self, sequence: u32, datagram: &mut Vec<u8>) {
        self.message.header.sequence_number = sequence;
        self.message.finalize();
        let start = datagram.len();
        datagram.resize(start + self.message.buffer_len().next_multiple_of(4), 0);
        self.message.serialize(&mut datagram[start..]);
    }
}
