//! One tool's turn at the node, and the comparison of two.

use std::collections::BTreeMap;

use e2e::{EndpointRecorder, Invocation};

use crate::shop::{SERVICES, Shop};

/// What a tool did, and what became of the Services meanwhile.
pub(crate) struct Turn {
    seconds: f64,
    code: i32,
    /// The numbers of ready endpoints of each Service, one after the other.
    counts: BTreeMap<&'static str, Vec<usize>>,
}

impl Turn {
    /// Runs a command and shows what it says, while the endpoints are recorded.
    pub(crate) async fn take(shop: &Shop, command: Invocation) -> Self {
        let mut recorder = EndpointRecorder::start(shop.namespace()).await;
        let run = command.shown().run().await;
        recorder.stop().await;
        println!("(exit status {} after {:.1} s)", run.code(), run.elapsed.as_secs_f64());
        println!();
        let counts = SERVICES.iter().map(|(service, ..)| (*service, recorder.counts(service))).collect();
        Self { seconds: run.elapsed.as_secs_f64(), code: run.code(), counts }
    }

    fn history(&self, service: &str) -> String {
        let counts = self.counts.get(service).map(Vec::as_slice).unwrap_or_default();
        counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    fn fewest(&self, service: &str) -> usize {
        self.counts.get(service).into_iter().flatten().copied().min().unwrap_or_default()
    }
}

/// Prints the turns below each other, Service by Service.
pub(crate) fn compare(turns: &[(&str, &Turn)]) {
    println!("{:<10} {:<18} {:>6} {:>7}   HISTORY", "SERVICE", "DRAINED BY", "WANTED", "FEWEST");
    for (service, wanted, _) in SERVICES {
        for (name, turn) in turns {
            let fewest = turn.fewest(service);
            println!("{service:<10} {name:<18} {wanted:>6} {fewest:>7}   {}", turn.history(service));
        }
    }
    println!();
    for (name, turn) in turns {
        println!("{name:<18} {:>5.1} s, exit status {}", turn.seconds, turn.code);
    }
}
