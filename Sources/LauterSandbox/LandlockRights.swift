// SPDX-License-Identifier: Apache-2.0

/// Landlock's rights over files, as the kernel numbers them; each with the ABI that brought it.
struct LandlockRights: OptionSet {
  let rawValue: UInt64

  static let execute = LandlockRights(rawValue: 1 << 0)
  static let writeFile = LandlockRights(rawValue: 1 << 1)
  static let readFile = LandlockRights(rawValue: 1 << 2)
  static let readFolder = LandlockRights(rawValue: 1 << 3)
  /// Remove and make entries of every kind: bits 4 to 12.
  static let changeFolder = LandlockRights(rawValue: 0x1FF0)
  /// Link and rename from folder to folder. ABI 2; under ABI 1 that is always refused.
  static let refer = LandlockRights(rawValue: 1 << 13)
  /// ABI 3.
  static let truncate = LandlockRights(rawValue: 1 << 14)
  /// ioctl on devices. ABI 5.
  static let deviceControl = LandlockRights(rawValue: 1 << 15)

  static let read: LandlockRights = [.execute, .readFile, .readFolder]
  static let write: LandlockRights = [.read, .writeFile, .changeFolder, .refer, .truncate]
  /// In folders of the machine: no devices (bits 6 and 11), and no FIFO (10), at which a host that expects a file waits.
  static let writeShared = write.subtracting(LandlockRights(rawValue: 1 << 6 | 1 << 10 | 1 << 11))
  static let devices: LandlockRights = [
    .readFile, .writeFile, .readFolder, .truncate, .deviceControl,
  ]
  /// The rights that a rule on a file may hold; more is EINVAL.
  static let ofFiles: LandlockRights = [
    .execute, .writeFile, .readFile, .truncate, .deviceControl,
  ]

  /// All rights that the kernel's ABI knows.
  static func known(_ abi: Int) -> LandlockRights {
    var rights: LandlockRights = [.read, .writeFile, .changeFolder]
    if abi >= 2 { rights.insert(.refer) }
    if abi >= 3 { rights.insert(.truncate) }
    if abi >= 5 { rights.insert(.deviceControl) }
    return rights
  }

  /// Abstract Unix sockets and signals stay among the worker's own processes. ABI 6.
  static func scopes(_ abi: Int) -> UInt64 { abi >= 6 ? 0b11 : 0 }
}
