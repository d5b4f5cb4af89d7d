// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(CSandbox)
  import CSandbox
#endif

/// What is known to stand in the way of sandboxes on a machine or around a process. It decides nothing: it is asked when
/// something was refused, to say why and what to do.
package struct Circumstances: Equatable, Sendable {
  /// `user.max_*_namespaces`, in the order of `NamespaceKind.allCases`; nil where there is no such knob.
  package var namespaceLimits: [UInt64?] = NamespaceKind.allCases.map { _ in nil }
  /// Debian's `kernel.unprivileged_userns_clone`.
  package var ordinaryUserNamespaces: UInt64?
  /// Ubuntu's `kernel.apparmor_restrict_unprivileged_userns`.
  package var appArmorRestriction: UInt64?
  /// The AppArmor profile of this process, if it is confined by one.
  package var appArmorProfile: String?
  package var memfdNoexec: UInt64?
  /// A seccomp filter of somebody else's is loaded.
  package var isFiltered = false
  /// Landlock, as far as the kernel's list of security modules tells; nil where it does not.
  package var hasLandlockModule: Bool?
  /// The root is no mount point: the process was put there by chroot(2).
  package var isChrooted = false
  /// What is mounted over entries of /proc.
  package var coversOnProc: [String] = []
  package var hasProc = true
  package var isDumpable = true
  /// Has CAP_SYS_ADMIN.
  package var isPrivileged = false
  package var container: Container?

  package enum Container: Sendable { case docker, podman, other }

  /// Nothing in the way.
  package init() {}

  /// Look at this machine and process.
  package static func here() -> Circumstances {
    var here = Circumstances()
    here.namespaceLimits = NamespaceKind.allCases.map { setting($0.knob) }
    here.ordinaryUserNamespaces = setting("kernel.unprivileged_userns_clone")
    here.appArmorRestriction = setting("kernel.apparmor_restrict_unprivileged_userns")
    here.memfdNoexec = setting("vm.memfd_noexec")
    here.isDumpable = lx_is_dumpable() != 0
    here.isPrivileged = csandbox_has_capability(21) == 1
    let status = HostFile.contents("/proc/self/status", upTo: 8192)
    here.hasProc = status != nil
    // "Seccomp:\t2"
    here.isFiltered = lines(status ?? []).contains {
      $0.starts(with: "Seccomp:".utf8) && $0.last == UInt8(ascii: "2")
    }
    let profile = HostFile.contents("/proc/self/attr/apparmor/current", upTo: 4096).map(text) ?? ""
    if !profile.isEmpty, !profile.utf8.starts(with: "unconfined".utf8) {
      here.appArmorProfile = profile
    }
    if let modules = HostFile.contents("/sys/kernel/security/lsm", upTo: 4096), !modules.isEmpty {
      here.hasLandlockModule = modules.split(separator: UInt8(ascii: ",")).contains {
        text(Array($0)).utf8.elementsEqual("landlock".utf8)
      }
    }
    if let mounts = HostFile.contents("/proc/self/mountinfo", upTo: 1 << 20) {
      here.read(mountinfo: mounts)
    }
    if HostFile.existing("/run/.containerenv") != nil {
      here.container = .podman
    } else if HostFile.existing("/.dockerenv") != nil {
      here.container = .docker
    } else if HostFile.existing("/run/systemd/container") != nil {
      here.container = .other
    }
    return here
  }

  /// `/proc/self/mountinfo`: the fifth field is where.
  mutating func read(mountinfo: [UInt8]) {
    isChrooted = !mountinfo.isEmpty
    coversOnProc = []
    for line in Circumstances.lines(mountinfo) {
      let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
      guard fields.count > 4 else { continue }
      let place = String(decoding: fields[4], as: UTF8.self)
      if place.utf8.elementsEqual("/".utf8) { isChrooted = false }
      // An empty folder, where the kernel lets anyone mount.
      if place.utf8.elementsEqual("/proc/sys/fs/binfmt_misc".utf8) { continue }
      if place.utf8.starts(with: "/proc/".utf8) { coversOnProc.append(place) }
    }
  }

  func limit(of kind: NamespaceKind) -> UInt64? {
    for (index, each) in NamespaceKind.allCases.enumerated() where each == kind {
      return index < namespaceLimits.count ? namespaceLimits[index] : nil
    }
    return nil
  }

  /// A number under /proc/sys, by its name as sysctl(8) spells it; nil if there is none.
  static func setting(_ name: String) -> UInt64? {
    let path =
      "/proc/sys/" + String(decoding: name.utf8.map { $0 == 0x2E ? 0x2F : $0 }, as: UTF8.self)
    return HostFile.contents(path, upTo: 64).flatMap { number($0[...]) }
  }

  /// Decimal digits, alone but for white space.
  static func number(_ bytes: ArraySlice<UInt8>) -> UInt64? {
    let digits = trimmed(bytes)
    guard !digits.isEmpty else { return nil }
    var value: UInt64 = 0
    for digit in digits {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
      let (product, high) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(digit - UInt8(ascii: "0")))
      if high || carry { return UInt64.max }
      value = sum
    }
    return value
  }

  static func lines(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
    bytes.split(separator: UInt8(ascii: "\n"))
  }

  private static func text(_ bytes: [UInt8]) -> String {
    String(decoding: trimmed(bytes[...]), as: UTF8.self)
  }

  private static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var rest = bytes
    while let first = rest.first, first <= 0x20 { rest.removeFirst() }
    while let last = rest.last, last <= 0x20 { rest.removeLast() }
    return rest
  }
}
