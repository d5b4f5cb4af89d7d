// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif

/// The names and words of the errnos that a launch meets. By hand: strerror answers in the caller's language, from a
/// buffer that threads share.
package func errnoText(_ errno: Int32) -> String {
  switch errno {
  case EPERM: "EPERM (operation not permitted)"
  case EINTR: "EINTR (interrupted)"
  case ESRCH: "ESRCH (no such process)"
  case EPIPE: "EPIPE (broken pipe)"
  case ENOENT: "ENOENT (no such file or directory)"
  case EIO: "EIO (input/output error)"
  case E2BIG: "E2BIG (argument list too long)"
  case ENOEXEC: "ENOEXEC (exec format error)"
  case EBADF: "EBADF (bad file descriptor)"
  case EAGAIN: "EAGAIN (resource temporarily unavailable)"
  case ENOMEM: "ENOMEM (cannot allocate memory)"
  case EACCES: "EACCES (permission denied)"
  case EBUSY: "EBUSY (device or resource busy)"
  case EEXIST: "EEXIST (file exists)"
  case ENODEV: "ENODEV (no such device)"
  case ENOTDIR: "ENOTDIR (not a directory)"
  case EISDIR: "EISDIR (is a directory)"
  case EINVAL: "EINVAL (invalid argument)"
  case ENFILE: "ENFILE (too many open files in system)"
  case EMFILE: "EMFILE (too many open files)"
  case ETXTBSY: "ETXTBSY (text file busy)"
  case ENOSPC: "ENOSPC (no space left on device)"
  case EROFS: "EROFS (read-only file system)"
  case ENAMETOOLONG: "ENAMETOOLONG (file name too long)"
  case ENOSYS: "ENOSYS (function not implemented)"
  case ELOOP: "ELOOP (too many levels of symbolic links)"
  case EILSEQ: "EILSEQ (not UTF-8)"
  case ECANCELED: "ECANCELED (not carried out)"
  case EUSERS: "EUSERS (too many users)"
  case EOPNOTSUPP: "EOPNOTSUPP (operation not supported)"
  case EOVERFLOW: "EOVERFLOW (value too large)"
  case ESTALE: "ESTALE (not the file that the plan was made for)"
  default: "errno \(errno)"
  }
}
