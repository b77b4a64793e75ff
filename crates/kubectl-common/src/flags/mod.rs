//! The flags that all plugins share, with kubectl's names and meaning; flattened last into a plugin's own arguments.

mod boolean;
mod dry_run;
mod kube_flags;
mod output_flags;

pub use boolean::{BooleanError, parse_boolean};
pub use dry_run::{DryRun, DryRunFlags};
pub use kube_flags::KubeFlags;
pub use output_flags::{ColorChoice, OutputFlags, OutputFormat};
