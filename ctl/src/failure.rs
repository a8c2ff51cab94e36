//! Why a command failed, and the exit code that says so to a script.

use std::{fmt, process::ExitCode};

use admin::client::ClientError;
use tonic::{Code, Status};

/// A command that did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The other side said no, or cannot do it.
    Refused(String),
    /// There is no connection to the other side.
    Unreachable(String),
}

impl Failure {
    /// 1 if refused, 3 if not reached; 2 is a wrong command line.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Refused(_) => ExitCode::from(1),
            Self::Unreachable(_) => ExitCode::from(3),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Refused(message) | Self::Unreachable(message)) = self;
        f.write_str(message)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Unreachable(error.to_string())
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let message = status.message();
        match status.code() {
            // A transport error that is no answer carries its causes apart from its message.
            Code::Unavailable | Code::Unknown => Self::Unreachable(with_causes(&status)),
            Code::DeadlineExceeded | Code::Cancelled => Self::Unreachable("no answer in time".to_owned()),
            Code::PermissionDenied => Self::Refused(format!("not permitted: {message}")),
            _ => Self::Refused(message.to_owned()),
        }
    }
}

fn with_causes(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_connection_and_a_refusal_are_told_apart() {
        assert!(matches!(Failure::from(Status::unavailable("away")), Failure::Unreachable(_)));
        assert!(matches!(Failure::from(Status::not_found("no such subscriber")), Failure::Refused(_)));
        let refusal = Failure::from(Status::permission_denied("the role auditor"));
        assert_eq!(refusal.to_string(), "not permitted: the role auditor");
    }
}
