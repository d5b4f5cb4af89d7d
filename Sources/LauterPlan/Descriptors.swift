// SPDX-License-Identifier: Apache-2.0

/// Where `lauter-init` finds its descriptors. 0, 1 and 2 are the worker's standard streams.
package enum InitDescriptor {
  package static let control: Int32 = 3
  package static let hostPidfd: Int32 = 4
  package static let plan: Int32 = 5
  /// The worker's end of the session (or /dev/null): becomes its descriptor 3.
  package static let session: Int32 = 6
  /// The control page (or /dev/null): becomes its descriptor 4.
  package static let page: Int32 = 7
  /// The arena (or /dev/null): becomes its descriptor 5.
  package static let arena: Int32 = 8
  /// The first of the detached mounts that the host made.
  package static let firstTree: Int32 = 9
}
