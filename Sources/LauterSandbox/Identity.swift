// SPDX-License-Identifier: Apache-2.0

/// Who the worker is, inside and outside.
struct Identity: Equatable {
  /// As it sees itself.
  var insideUser: UInt32
  var insideGroup: UInt32
  /// As the machine sees it.
  var outsideUser: UInt32
  var outsideGroup: UInt32
  /// Its outer id is its own and nobody else's, so the machine's files are none of its.
  var isForeign: Bool

  /// The id that a worker has inside when it can be chosen.
  private static let chosen: UInt32 = 1000

  /// - Parameter ordinal: which of its host's workers it is.
  init(_ offer: KernelOffer, process: UInt32, ordinal: UInt32) {
    guard offer.mapsUsers else {
      // An ordinary user can map its own id alone, to any; to itself, so that files look as they do
      // outside.
      insideUser = offer.uid
      insideGroup = offer.gid
      outsideUser = offer.uid
      outsideGroup = offer.gid
      isForeign = false
      return
    }
    insideUser = Identity.chosen
    insideGroup = Identity.chosen
    // The host's pid (at most 22 bits) and eight bits of the worker's number: two workers that live
    // at the same time share an id only if 255 others of their host were started between them. Then
    // they could still not see each other.
    let number = (process & 0x3F_FFFF) << 8 | ordinal & 0xFF
    outsideUser = offer.firstUser + number % offer.userCount
    outsideGroup = outsideUser
    isForeign = true
  }
}
