// SPDX-License-Identifier: Apache-2.0

#if canImport(CInit)
  import CInit
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif

/// Why there will be no worker: the step, counted from 1 (0: before the first), the errno, and what it is of.
struct StepFailure: Error {
  var step: UInt32
  var errno: Int32
  var call: StaticString
}

/// `lauter-init`: the first process of a worker's namespaces.
///
/// Its life: read the plan, walk it, fork the worker, which walks the rest and becomes the program; then watch
/// the worker, the host and the clock, and report. When it ends, the kernel kills whatever is left in its
/// process namespace, so every way out of here, crashes included, leaves nothing behind.
@c(main)
public func lauterInit(
  _ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
  do throws(StepFailure) {
    try prepareProcess()
    var watch = try startWorker()
    // Not left to the release of each: the worker's process took references in this memory, and with its exec it never
    // gave them back.
    cinit_forget_memory()
    return watch.run()
  } catch {
    tell(.failed(step: error.step, errno: error.errno, call: "\(error.call)"))
    return 1
  }
}

/// Walk the plan. Nothing of it is left when this returns: what it gives back has no memory of its own.
@inline(never)
private func startWorker() throws(StepFailure) -> Watch {
  let plan = try readPlan()
  guard case .execute(let execution)? = plan.steps.last else {
    throw StepFailure(step: 0, errno: EINVAL, call: "plan")
  }
  try at(0) { () throws(KernelError) in try leaveHostGroup(leadsSession: execution.hasTerminal) }
  var kept: Kept? = Kept()
  do throws(StepFailure) {
    let index = try walk(plan, &kept)
    return try Watch(starting: plan, from: index, execution, kept.take() ?? Kept())
  } catch {
    // No worker was in it.
    kept?.removeScratch()
    throw error
  }
}

/// Send a notice. If the host is gone there is nobody to tell, and nothing to do but end.
func tell(_ notice: Control.Notice) {
  let packet = notice.encoded()
  if lx_send_packet(InitDescriptor.control, packet, packet.count) < 0 { lx_exit(1) }
}

/// What holds for init whatever the plan says.
private func prepareProcess() throws(StepFailure) {
  offerToOutOfMemoryKiller()
  try at(0) { () throws(KernelError) in
    // A worker has its init's uid: a dumpable init would lose its socket to pidfd_getfd(2), its memory to
    // /proc/1/mem. Without a handler, the kernel keeps the worker's signals from PID 1 as well.
    try check("prctl", lx_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
    // What ps and top show: an exec by descriptor leaves a number there, or the memfd's name.
    try check("prctl", lx_set_name("lauter-init"))
    try check("sigprocmask", lx_sigprocmask(SIG_BLOCK, Watch.signals | Watch.backgroundWrite))
    // Modes in the plan are exact.
    _ = lx_umask(0)
    // Where there is no process namespace, orphans come here all the same, and the kernel keeps no signal away that has
    // no handler: its terminal's, say.
    if lx_getpid() != 1 {
      try check("prctl", lx_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
      try check("sigprocmask", lx_sigprocmask(SIG_BLOCK, UInt64.max))
    }
  }
}

/// What is sent to the host's process group is not for init. A session of its own, which the kernel schedules as a group and takes
/// down with it, init needs for a terminal only; the worker has one in any case.
private func leaveHostGroup(leadsSession: Bool) throws(KernelError) {
  if leadsSession {
    try check("setsid", lx_setsid())
  } else {
    try check("setpgid", lx_setpgid(0, 0))
  }
}

/// Where the machine runs out of memory, the kernel is to choose a worker before anybody else. A wish, not a wall: where
/// /proc is not there or not ours, all goes on without it.
private func offerToOutOfMemoryKiller() {
  let fd = lx_open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0)
  guard fd >= 0 else { return }
  _ = lx_write(Int32(fd), "1000", 4)
  _ = lx_close(Int32(fd))
}

private func readPlan() throws(StepFailure) -> Plan {
  let bytes = try at(0) { () throws(KernelError) in try readAll(InitDescriptor.plan) }
  do throws(PlanError) { return try Plan(decoding: bytes) } catch {
    throw StepFailure(step: 0, errno: EPROTO, call: "plan")
  }
}

/// The whole file behind `fd`, which is closed.
private func readAll(_ fd: Int32) throws(KernelError) -> [UInt8] {
  let file = OwnedFD(adopting: fd)
  var status = lx_status()
  try check("fstat", lx_fstat(file.raw, &status))
  var bytes = [UInt8](repeating: 0, count: Int(status.size))
  var filled = 0
  while filled < bytes.count {
    let count = bytes.withUnsafeMutableBytes {
      lx_pread(file.raw, $0.baseAddress! + filled, $0.count - filled, Int64(filled))
    }
    if try check("pread", count) == 0 { throw KernelError(call: "pread", errno: ENODATA) }
    filled += count
  }
  return bytes
}

/// Run `body`; its failure is that of step `number`.
func at<Result: ~Copyable>(
  _ number: Int, _ body: () throws(KernelError) -> Result
) throws(StepFailure) -> Result {
  do throws(KernelError) { return try body() } catch {
    throw StepFailure(step: UInt32(number), errno: error.errno, call: error.call)
  }
}

/// Walk the steps that init takes itself. Returns the index of the first that is the worker's, and sets `kept` to what
/// stays.
private func walk(_ plan: Plan, _ kept: inout Kept?) throws(StepFailure) -> Int {
  var sandbox = Sandbox()
  defer { kept = sandbox.takeKept() }
  for index in plan.steps.indices {
    switch plan.steps[index] {
    case .limit, .landlock, .seccomp, .execute, .joinGroup, .watchMemory, .countCPU, .sumMemory:
      return index
    default: break
    }
    try at(index + 1) { () throws(KernelError) in try sandbox.take(plan.steps[index]) }
  }
  return plan.steps.count
}
