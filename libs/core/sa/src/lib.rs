//! Who may say this: associations, replay, seal, verify, derive.
