//! The log on stderr, with kubectl's `-v N`.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::terminal::Terminal;

/// The crates of this project, by the beginning of their names.
const OURS: [&str; 5] = ["kubectl_", "evacuation", "cluster_model", "scheduler_forecast", "node_pools"];

/// Starts the log of the process.
pub(crate) fn start(verbosity: u8, terminal: &Terminal) {
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(terminal.stderr_has_colors())
        .with_target(verbosity >= 6);
    // It fails only where a log has been started before, which is then as good.
    drop(tracing_subscriber::registry().with(layer).with(levels(verbosity)).try_init());
}

/// Translates kubectl's numbers. What the libraries say of their own accord stays out of the default: the client logs
/// as an error what the run answers and tells anyway. Their finest level stays out always: it may show whole messages.
fn levels(verbosity: u8) -> Targets {
    let (ours, client, others) = match verbosity {
        0 => (LevelFilter::WARN, LevelFilter::OFF, LevelFilter::OFF),
        1..=3 => (LevelFilter::WARN, LevelFilter::WARN, LevelFilter::ERROR),
        4..=5 => (LevelFilter::INFO, LevelFilter::WARN, LevelFilter::WARN),
        6..=7 => (LevelFilter::DEBUG, LevelFilter::DEBUG, LevelFilter::WARN),
        8.. => (LevelFilter::TRACE, LevelFilter::DEBUG, LevelFilter::DEBUG),
    };
    Targets::new().with_default(others).with_target("kube", client).with_targets(OURS.map(|name| (name, ours)))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_default_shows_only_our_own_warnings() {
        let levels = levels(0);
        assert!(levels.would_enable("kubectl_common::connect", &Level::WARN));
        assert!(levels.would_enable("evacuation_runner::lease", &Level::WARN));
        assert!(!levels.would_enable("kubectl_common::connect", &Level::INFO));
        assert!(!levels.would_enable("kube_client::client::builder", &Level::ERROR));
    }

    #[test]
    fn six_shows_requests_and_eight_never_the_messages_of_libraries() {
        assert!(levels(6).would_enable("kube_client::client::builder", &Level::DEBUG));
        assert!(!levels(4).would_enable("kube_client::client::builder", &Level::DEBUG));
        assert!(levels(8).would_enable("kubectl_common", &Level::TRACE));
        for library in ["kube_client::client", "hyper_util::client", "rustls::client"] {
            assert!(!levels(255).would_enable(library, &Level::TRACE), "{library}");
        }
    }
}
