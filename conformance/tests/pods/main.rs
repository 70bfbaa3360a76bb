//! The pods' network: which hosts reach each other and at which address, and what a hostile pod cannot do.

mod arp_guard;
mod cross_node;
mod hostile;
mod port_space;
mod same_node;
