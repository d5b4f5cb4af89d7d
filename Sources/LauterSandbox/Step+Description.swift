// SPDX-License-Identifier: Apache-2.0

#if canImport(LauterPlan)
  package import LauterPlan
#endif

/// A step as one line: for `explain`, and for what failed.
package func describe(_ step: Step) -> String {
  switch step {
  case .privateMounts: return "make mounts private"
  case .openTree(_, let path, _, _): return "open \(path)"
  case .adoptTree(_, _, let path): return "take \(path), owned by the worker"
  case .identity(let uid, let gid, let dropGroups):
    return "become user \(uid) and group \(gid)" + (dropGroups ? ", with no other group" : "")
  case .ordinary(let ownKeyring):
    return "put off inherited priority and personality" + (ownKeyring ? ", and the keyring" : "")
  case .hostname(let name): return "set the host name \(name)"
  case .loopback: return "bring up the loopback"
  case .newRoot(let size): return "new root of \(sizeText(size))"
  case .directory(let path, let mode): return "folder \(path) mode \(octal(mode))"
  case .file(let path, _, let contents): return "file \(path), \(contents.count) bytes"
  case .symlink(let path, let target): return "link \(path) to \(target)"
  case .tmpfs(let path, let size, let mode):
    return "tmpfs \(path) size \(sizeText(size)) mode \(octal(mode))"
  case .attach(_, let path, let access, _):
    if access.contains(.devices) { return "attach \(path) as a device" }
    return "attach \(path) " + (access.contains(.write) ? "writable" : "read-only")
  case .mask(let path, _): return "cover \(path)"
  case .proc(let path, let options):
    return "mount \(path)" + (options.isEmpty ? "" : " \(options)")
  case .devpts(let path): return "mount \(path) of its own"
  case .enterRoot: return "enter the new root"
  case .readOnlyRoot: return "make the root read-only"
  case .readOnly(let path): return "make \(path) read-only"
  case .noExecution(let path): return "execute no code of \(path)"
  case .quota(let name, let most): return "limit \(name) to \(most)"
  case .terminal(let path, let rows, let columns):
    return "open \(path) as the worker's terminal, \(rows) by \(columns)"
  case .dropPrivilege(let last): return "drop all privilege (capabilities 0 to \(last))"
  case .scratch(let base, let number, _):
    return "folder \(scratchPath(base, number)), which goes with the worker"
  case .dropCapabilities: return "drop all capabilities"
  case .processes(let count): return "limit processes to \(count) more than the user has"
  case .guarded: return "keep signals within, under guard"
  case .joinGroup(_, let limits): return "enter a control group, \(limits)"
  case .watchMemory(let version, _, _):
    return "watch the memory of the control group (version \(version))"
  case .countCPU(let version, _):
    return "read the CPU time of the control group (version \(version))"
  case .sumMemory(let bytes, _):
    return "add up the memory of all processes, at most \(sizeText(bytes))"
  case .limit(let resource, let soft, let hard):
    let amount = soft == hard ? "\(hard)" : "\(soft), at most \(hard)"
    return "limit \(limitName(resource)) to \(amount)"
  case .landlock(_, _, let scope, let rules):
    return "landlock, \(rules.count) rules" + (scope == 0 ? "" : ", signals and sockets scoped")
  case .seccomp(let program): return "seccomp, \(program.count / 8) instructions"
  case .execute(let execution): return "execute \(execution.candidates.first ?? "nothing")"
  }
}

private func sizeText(_ bytes: UInt64) -> String {
  if bytes == 0 { return "any" }
  if bytes % (1 << 30) == 0 { return "\(bytes >> 30)G" }
  if bytes % (1 << 20) == 0 { return "\(bytes >> 20)M" }
  if bytes % (1 << 10) == 0 { return "\(bytes >> 10)K" }
  return "\(bytes)"
}

private func octal(_ mode: UInt32) -> String { "0" + String(mode, radix: 8) }

/// The kernel's resource numbers, as most architectures have them.
func limitName(_ resource: UInt32) -> String {
  switch resource {
  case 0: "CPU seconds of each process"
  case 1: "file size"
  case 2: "data"
  case 4: "core"
  case 6: "processes"
  case 7: "open files"
  case 11: "queued signals"
  case 12: "message queues"
  default: "resource \(resource)"
  }
}
