// SPDX-License-Identifier: Apache-2.0

/// What the kernel can give a worker of its own, as clone(2)'s flags.
package enum NamespaceKind: UInt64, CaseIterable, Sendable {
  case user = 0x1000_0000
  case process = 0x2000_0000
  case mount = 0x0002_0000
  case network = 0x4000_0000
  case ipc = 0x0800_0000
  case uts = 0x0400_0000
  case cgroup = 0x0200_0000

  /// For people.
  package var name: StaticString {
    switch self {
    case .user: "user"
    case .process: "process"
    case .mount: "mount"
    case .network: "network"
    case .ipc: "ipc"
    case .uts: "host name"
    case .cgroup: "cgroup"
    }
  }

  /// The limit of how many a user may make, as sysctl(8) spells it.
  package var knob: StaticString {
    switch self {
    case .user: "user.max_user_namespaces"
    case .process: "user.max_pid_namespaces"
    case .mount: "user.max_mnt_namespaces"
    case .network: "user.max_net_namespaces"
    case .ipc: "user.max_ipc_namespaces"
    case .uts: "user.max_uts_namespaces"
    case .cgroup: "user.max_cgroup_namespaces"
    }
  }
}

/// "user, process, mount".
package func namespaceNames(_ flags: UInt64) -> String {
  var text = ""
  for kind in NamespaceKind.allCases where flags & kind.rawValue != 0 { text.list("\(kind.name)") }
  return text
}
