//! Ports of the host.

use serde_json::{Value, json};

use super::dice::Dice;

const ADDRESSES: [&str; 5] = ["0.0.0.0", "127.0.0.1", "10.0.0.1", "::", "::1"];

/// Draws ports for one container; no two of a pod have the same number, which would be refused.
pub(super) fn draw(dice: &mut Dice, free: &mut Vec<u16>, host_network: bool) -> Vec<Value> {
    let mut ports = vec![];
    for _ in 0..=dice.below(2) {
        if free.is_empty() {
            break;
        }
        let number = free.swap_remove(dice.below(free.len()));
        let mut port = json!({"containerPort": number});
        // On the host's network the API server makes each port of a pod, not of a template, one of the host.
        if (!host_network || dice.chance(30)) && dice.chance(90) {
            port["hostPort"] = json!(number);
        }
        if dice.chance(50) {
            port["protocol"] = json!(dice.pick(&["TCP", "UDP", "SCTP"]));
        }
        if dice.chance(45) {
            port["hostIP"] = json!(dice.pick(&ADDRESSES));
        }
        ports.push(port);
    }
    ports
}

/// Returns the numbers that a pod's ports are drawn from.
pub(super) fn numbers() -> Vec<u16> {
    vec![80, 8080, 9090, 9100]
}
