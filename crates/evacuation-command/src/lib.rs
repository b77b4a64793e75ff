//! What `kubectl safedrain` and `kubectl vmievict` share at the terminal. Both evacuate nodes with one engine and differ
//! in their flags and in what they move.
//!
//! ```text
//! clap groups (flags) ─► Job ─┬─► drain: look ─► plan, shown ─► lease ─► look again ─► run ─► report
//!   of each plugin            ├─► undo:  look ─► lease ─► run ─► report
//!                             └─► status
//! ```
//!
//! What happens is put into words (`render`) or documents (`document`). Decisions are made in the crate `evacuation`.

mod document;
mod drain;
mod failure;
pub mod flags;
mod guests;
mod job;
mod keeping;
mod look;
mod nodes;
mod pools;
mod rehearsal;
mod render;
mod rights;
mod session;
mod status;
mod telling;
mod undo;
mod whole_file;
mod word;

use kubectl_common::entry::Launch;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;

use crate::flags::CommandLine;
use crate::job::{Goal, Job};

/// Runs the plugin whose command line is `A` on the command line of this process.
pub async fn run<A: CommandLine>(launch: Launch) -> Result<ExitStatus, Failure> {
    let args: A = launch.parse()?;
    let (terminal, output) = launch.open(args.run().kube.verbosity, args.run().output.color);
    if let Some(word) = word::of(&args) {
        output.result_line(word.answer::<A>(&launch)?.trim_end());
        return Ok(ExitStatus::Done);
    }
    let job = Job::resolve(&args, &launch)?;
    match &job.goal {
        Goal::Status(nodes) => status::run(&job, nodes, &output, &terminal).await,
        Goal::Undo(nodes) => Box::pin(undo::run(&job, nodes, &output)).await,
        Goal::Evacuate(targets) => drain::run(&job, targets, &output, &terminal).await,
    }
}
