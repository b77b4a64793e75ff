//! What a refused run says and does: exit status 3, a line for each pod with its remedy, and no change in the cluster.

use e2e::{AuditEvent, AuditLog, Invocation, Namespace, Run, User};

/// A run that was refused before it changed anything.
pub(super) struct Refused {
    run: Run,
}

/// Why one pod is refused.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// How its name begins.
    pub(super) pod: &'a str,
    /// What is said of it.
    pub(super) says: String,
    /// The flag or command that lets it go.
    pub(super) remedy: String,
}

impl Refused {
    /// Runs it as `user`, who has changed nothing when it has ended.
    pub(super) async fn run(ns: &Namespace, user: &User, invocation: Invocation) -> Self {
        let before = changes(ns, user).await;
        let run = invocation.user(user).run().await.expect_code(3);
        let mut after = changes(ns, user).await;
        drop(after.drain(..before.len()));
        assert!(after.is_empty(), "{after:#?}\n{run}");
        assert!(run.stderr.contains("nothing was changed") || run.stderr.contains("no node was touched"), "{run}");
        Self { run }
    }

    /// These pods and no others are refused, each in a line that names it, and each remedy is told at the end again.
    pub(super) fn refuses(&self, ns: &Namespace, rows: &[Row<'_>]) {
        let Self { run } = self;
        let lines: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("refused: ")).collect();
        for Row { pod, says, remedy } in rows {
            let subject = format!("refused: pod {}/{pod}", ns.name());
            let remedy_told = format!("(pass {remedy})");
            let line = lines.iter().find(|line| line.starts_with(&subject)).copied().unwrap_or_default();
            assert!(line.contains(says.as_str()), "{subject}: {says:?} is not said: {line}\n{run}");
            assert!(line.ends_with(&remedy_told), "{subject}: {remedy_told:?} is not told: {line}\n{run}");
            assert!(run.stderr.contains(&format!("hint: pass `{remedy}`")), "{remedy}\n{run}");
        }
        assert_eq!(lines.len(), rows.len(), "no other pod is refused\n{run}");
    }

    /// All of this is said on the standard error.
    pub(super) fn says(&self, words: &[&str]) {
        for word in words {
            assert!(self.run.stderr.contains(word), "{word:?}\n{}", self.run);
        }
    }
}

/// The changes that a user has asked for so far; access reviews and dry runs are none.
async fn changes(ns: &Namespace, user: &User) -> Vec<String> {
    let audit = AuditLog::of_user(ns.control_plane(), &user.name).await;
    audit.changes().into_iter().map(AuditEvent::summary).collect()
}
