// SPDX-License-Identifier: Apache-2.0

/// As in the file VERSION; `scripts/check` compares them.
let libraryVersion: StaticString = "0.1.0"
