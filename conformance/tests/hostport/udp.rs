//! A client that goes on sending from one socket while the pod behind the port changes: connection tracking must not keep
//! its packets on the former way.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, Place, eventually, within};
use serde_json::json;

use crate::rig::{SOON, mapping, with_ports};

fn client(place: &Place, v6: bool, to: IpAddr) -> Result<UdpSocket, Error> {
    let open = || -> std::io::Result<UdpSocket> {
        let socket = UdpSocket::bind(if v6 { "[::]:4446" } else { "0.0.0.0:4444" })?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.connect(SocketAddr::new(to, 5353))?;
        Ok(socket)
    };
    place.enter(open)?.map_err(|source| Error::System { doing: "open the client".into(), source })
}

/// Sends until somebody answers. Refusals are no answers.
fn answered(client: &UdpSocket, fact: &str) -> Result<(), Error> {
    eventually(SOON, fact, || {
        let asked = client.send(b"who").and_then(|_| client.recv(&mut [0; 256]));
        asked.map(drop).map_err(|error| error.to_string())
    })
}

#[test]
fn a_udp_client_that_sends_all_the_while_reaches_each_pod_that_gets_the_port() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let config = with_ports(one, &json!([mapping("udp", 5353)]));
        // Another pod has the table there, and with it connection tracking.
        one.pod("first")?.add(&with_ports(one, &json!([mapping("udp", 5354)])))?;
        let clients = [client(two.place(), false, one.v4())?, client(two.place(), true, one.v6())?];
        for client in &clients {
            // The node itself is asked, and tracked, before there is a pod.
            for _ in 0..3 {
                let _ = client.send(b"who").and_then(|_| client.recv(&mut [0; 256]));
            }
        }
        let (a, b) = (one.pod("a")?, one.pod("b")?);
        a.add(&config)?;
        let serving = a.serve()?;
        clients
            .iter()
            .try_for_each(|client| answered(client, "the first pod answers a client that was there before"))?;
        drop(serving);
        a.del(&one.podnet())?;
        b.add(&config)?;
        let _serving = b.serve()?;
        clients.iter().try_for_each(|client| answered(client, "the next pod answers the same client"))
    });
}

/// A pod's address goes to the next pod, which asked for no host port: what clients go on sending to the former one's port must
/// not come to it.
#[test]
fn what_a_client_goes_on_sending_does_not_reach_the_next_owner_of_the_address() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let mut config = with_ports(one, &json!([mapping("udp", 5353)]));
        // Room for one pod.
        config["ipam"]["ranges"] = json!([[{ "subnet": "10.244.1.252/30" }]]);
        config["ipam"]["cooldown"] = json!(0);
        let (a, b) = (one.pod("a")?, one.pod("b")?);
        let at_a = a.add(&config)?;
        let serving = a.serve()?;
        let client = client(two.place(), false, one.v4())?;
        answered(&client, "the pod answers")?;
        drop(serving);
        a.del(&one.podnet())?;
        config["runtimeConfig"] = json!({});
        assert_eq!(b.add(&config)?.v4()?, at_a.v4()?, "the same address");
        let _serving = b.serve()?;
        for _ in 0..5 {
            let asked = client.send(b"who").and_then(|_| client.recv(&mut [0; 256]));
            assert!(asked.is_err(), "the next owner of the address answers");
        }
        Ok(())
    });
}
