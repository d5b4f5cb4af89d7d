// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif

/// Put off what the host's thread had and every child inherits. Less than ordinary it may stay: a host that runs at a
/// low priority, or on two processors, has workers that do.
func becomeOrdinary(ownKeyring: Bool) throws(KernelError) {
  // A worker that computes for ever at a real-time priority takes a processor from all others.
  let policy = try check("sched_getscheduler", lx_sched_policy())
  if lx_sched_is_urgent(policy) != 0 {
    try check("sched_setscheduler", lx_sched_become_other())
  }
  if try check("getpriority", lx_nice_by_twenty()) > 20 {
    try check("setpriority", lx_set_nice(0))
  }
  if try check("ioprio_get", lx_io_priority()) >> LX_IO_CLASS_SHIFT == LX_IO_CLASS_REAL_TIME {
    try check("ioprio_set", lx_set_io_priority(0))
  }
  // And no right to take it back.
  try check("setrlimit", lx_setrlimit(UInt32(LX_RLIMIT_RTPRIO), 0, 0))
  try check("setrlimit", lx_setrlimit(UInt32(LX_RLIMIT_NICE), 0, 0))
  // Addresses that are not random (setarch -R), memory that can be executed because it can be read.
  try check("personality", lx_personality(0))
  try check("prctl", lx_prctl(PR_SET_TIMERSLACK, 50_000, 0, 0, 0))
  if ownKeyring {
    let joined = lx_join_session_keyring()
    // A kernel without keys has none to hide.
    if joined != -Int(ENOSYS) { try check("keyctl", joined) }
  }
}
