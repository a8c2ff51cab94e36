//! Key distribution: enrolment and issue.
