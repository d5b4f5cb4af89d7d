// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif

/// Root means nothing, setuid(2) changes no capability, none can be made ambient; all of it locked
/// (`SECBIT_NOROOT`, `_NO_SETUID_FIXUP`, `_NO_CAP_AMBIENT_RAISE`, each with its lock, and `_KEEP_CAPS_LOCKED`).
private let lockedSecurebits: UInt = 0xEF
/// `SECBIT_NO_SETUID_FIXUP`: keep capabilities when the uid changes.
private let noSetuidFixup: UInt = 1 << 2

/// Change to `uid` and `gid`, keeping the capabilities that the coming mounts need.
func become(_ uid: UInt32, _ gid: UInt32, _ dropGroups: Bool) throws(KernelError) {
  if dropGroups { try check("setgroups", lx_setgroups_none()) }
  try check("prctl", lx_prctl(PR_SET_SECUREBITS, noSetuidFixup, 0, 0, 0))
  try check("setresgid", lx_setresgid(gid))
  try check("setresuid", lx_setresuid(uid))
}

/// Give up what is held. Who may not touch the bounding set has nobody to get any of it back from: no_new_privs.
func giveUpCapabilities() throws(KernelError) {
  try check("prctl", lx_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
  if lx_prctl(PR_SET_SECUREBITS, lockedSecurebits, 0, 0, 0) == 0 {
    var capability: UInt = 0
    while lx_prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0 { capability += 1 }
  }
  try check("prctl", lx_prctl(PR_CAP_AMBIENT, UInt(PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0))
  try check("capset", lx_capset(0, 0, 0))
  try check("prctl", lx_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
}

/// Give up everything and the way back to it.
func dropPrivilege(_ lastCapability: UInt32) throws(KernelError) {
  try check("prctl", lx_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
  try check("prctl", lx_prctl(PR_SET_SECUREBITS, lockedSecurebits, 0, 0, 0))
  // Before the other sets: it takes CAP_SETPCAP.
  for capability in 0...UInt(lastCapability) {
    try check("prctl", lx_prctl(PR_CAPBSET_DROP, capability, 0, 0, 0))
  }
  try check("prctl", lx_prctl(PR_CAP_AMBIENT, UInt(PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0))
  try check("capset", lx_capset(0, 0, 0))
  try check("prctl", lx_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
}
