//! A virtual machine that a run stopped, on its way back to its run strategy.

use std::time::Duration;

use cluster_model::identity::NodeName;
use cluster_model::marks::StoppedMachine;

use super::Turn;
use super::command::Command;
use super::guest_command::GuestCommand;
use super::input::{Moment, Reply};
use crate::event::Event;

/// One virtual machine.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Restore {
    pub(super) node: NodeName,
    machine: StoppedMachine,
    state: State,
    unanswered: u32,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Waiting { not_before: Duration },
    Asking,
    Done,
    Failed,
}

impl Restore {
    pub(super) fn new(node: NodeName, machine: StoppedMachine) -> Self {
        Self { node, machine, state: State::Waiting { not_before: Duration::ZERO }, unanswered: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done | State::Failed)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// The request that is due.
    pub(super) fn next(&mut self, now: Moment, turn: &mut Turn) -> Option<Command> {
        let State::Waiting { not_before } = self.state else { return None };
        if not_before > now.elapsed {
            turn.wake_at = Some(turn.wake_at.map_or(not_before, |earlier| earlier.min(not_before)));
            return None;
        }
        self.state = State::Asking;
        Some(Command::Guest(GuestCommand::RestoreMachine { machine: self.machine.clone() }))
    }

    pub(super) fn replied(&mut self, reply: Reply, now: Moment, turn: &mut Turn) {
        let object = format!("virtual machine {}", self.machine.key);
        match reply {
            Reply::Done => {
                self.state = State::Done;
                turn.events.push(Event::VmRestored { machine: self.machine.key.clone() });
            }
            // Another one has its name: nothing to give back to.
            Reply::Gone => self.state = State::Done,
            Reply::Denied(message) => {
                self.state = State::Failed;
                let message = format!("its run strategy could not be given back: {message}");
                turn.events.push(Event::RequestFailed { object, message });
            }
            reply => {
                self.unanswered += 1;
                let pause = Duration::from_secs(u64::from(self.unanswered.min(10)));
                self.state = State::Waiting { not_before: now.elapsed + pause };
                turn.events.push(Event::RequestRetried { object, message: reply.words() });
            }
        }
    }
}
