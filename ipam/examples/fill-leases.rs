//! Fill a store with leases, for benchmarks and torture: `fill-leases DATA_DIR NETWORK SUBNET COUNT`.

use std::process::ExitCode;
use std::time::Duration;

use cni::{Attachment, ContainerId, Ifname, NetworkName};
use ipam::{NoLinks, Place, Proof, Range, RangeSet, Require, Want};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [data_dir, network, subnet, count] => match fill(data_dir, network, subnet, count) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("fill-leases: {error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: fill-leases DATA_DIR NETWORK SUBNET COUNT");
            ExitCode::FAILURE
        }
    }
}

fn fill(data_dir: &str, network: &str, subnet: &str, count: &str) -> Result<(), Failure> {
    let place = Place::new(data_dir, NetworkName::parse(network)?);
    let range = Range::new(subnet.parse()?, None, None, None)?;
    let want = Want::new(&[RangeSet::new(vec![range])?], &[], Duration::from_secs(120), Require::Both)?;
    let proof = Proof { netns: "/some/where".into(), ..Proof::default() };
    for number in 0..count.parse::<u64>()? {
        // As long as real ones are.
        let container_id = ContainerId::parse(&format!("{number:064x}"))?;
        let owner = Attachment { container_id, ifname: Ifname::parse("eth0")? };
        ipam::lease(&place, &want, &owner, &proof, &NoLinks)?;
    }
    Ok(())
}
