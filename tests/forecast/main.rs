mod coverage;
use e2e::SchedulerOracle;
use e2e::scheduling::generate;
use std::collections::BTreeMap;

#[test]
fn measure() {
    let mut oracle = SchedulerOracle::start();
    let mut coverage = coverage::Coverage::default();
    let mut errors: BTreeMap<String, usize> = BTreeMap::new();
    let mut failed: BTreeMap<String, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let n: u64 = std::env::var("N").map_or(300, |n| n.parse().unwrap());
    for seed in 0..n {
        match oracle.ask(&generate(seed)) {
            Ok(answer) => {
                for r in answer.verdicts.iter().flat_map(|v| v.values()).flatten() {
                    if r.failed {
                        *failed.entry(format!("{} {:?}", r.plugin, r.reasons)).or_default() += 1;
                    }
                    *reasons.entry(format!("{} {:?}", r.plugin, r.reasons.as_ref().map(|r| r.first()))).or_default() +=
                        1;
                }
                coverage.count(&answer)
            }
            Err(error) => *errors.entry(error).or_default() += 1,
        }
    }
    eprintln!("{}", coverage.line());
    eprintln!("gaps {:?}", coverage.gaps());
    eprintln!("{errors:#?}");
    eprintln!("failed {failed:#?}");
    eprintln!("{reasons:#?}");
}
