// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

/// `lauter fake-worker`: what a host has to endure, for the tests of hosts.
struct FakeWorkerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fake-worker",
    abstract: "Be a worker that does what a script says, to test a host.",
    discussion: """
      A host starts it as a launch of kind "worker", whose program is lauter and whose arguments are fake-worker and the \
      script (or -e and a script's text). Its policy must let it read both. It reads the host's greeting and then does \
      one line of the script after the other; at the end it exits with status 0. A script that cannot be read, and a line \
      that cannot be done, end it with status 125 and a word on standard error. docs/hosting.md has examples, and \
      docs/protocol.md what it all means.

      hello [FIELD N] ... greets; fields are magic, lowest, highest, abilities, arena, largest, and name TEXT. ready says \
      that calls can come.

      await KIND [within TIME] reads frames until one of that kind is whole, or with eof until the session ends. A stop \
      ends the worker meanwhile, unless it was told to 'ignore stop'; places in the arena are released as they are read, \
      unless it was told to 'keep places'.

      answer [PART] ..., fail TYPE [PART] ..., output NAME [PART] ... belong to the call that came last, call VERB [PART] \
      ... is one of its own, and message KIND [id N] [name TEXT] [parent N] [PART] ... any message. A PART is BYTES, with a \
      media type before them if they are no text/plain.

      frame KIND [size N] [flags N] [slot N] [id N] [BYTES] ... writes one frame, whose header may lie; raw BYTES ... \
      writes without a header. stdout BYTES ... and stderr BYTES ... write there. place N BYTES ... writes into the arena, \
      at an offset in its file. descriptors N sends copies of the session along, unless the host's kernel refuses them, which it \
      says on standard error.

      repeat N, forever and fork begin a block that ends with done; fork's is done by a child, which exits then. pace TIME \
      writes the session one byte at a time, pace none no longer. sleep TIME; pause; ignore SIGNAL; shut reading, writing \
      or both; close DESCRIPTOR ...; truncate DESCRIPTOR N, whose outcome it writes to standard error; die SIGNAL; exit N.

      BYTES are "text" (with \\n, \\t, \\0, \\" and \\\\), hex DIGITS, zeros N, u8, u16, u32 or u64 N, head N NAME [lane N] \
      [parent N] (a message's head), part TYPE N (a part's head). N is a number, decimal or 0x, with K, M or G, or several \
      with +, - and * between them, from left to right; so are $call and $slot (of the call that came last), $channel (that \
      was opened last), $id (of the next call of its own), $half (bytes of each half of the arena) and $n (how often the \
      block was done). KIND is a name of docs/protocol.md or a number. A # begins a comment.

      Example: a worker that answers its first call twice.

        lauter fake-worker twice.fake
      """)

  @Argument(help: ArgumentHelp("The script.", valueName: "file"))
  var script: String?

  @Option(name: .shortAndLong, help: ArgumentHelp("A script's text.", valueName: "text"))
  var expression: String?

  @Flag(help: "Look whether the script can be read, and do nothing.")
  var check = false

  mutating func validate() throws {
    guard (script == nil) != (expression == nil) else {
      throw ValidationError("a script is needed: a file, or -e and its text")
    }
  }

  func run() throws {
    let name = script ?? "-e"
    let text = try expression ?? String(decoding: readFile(script!, called: script!), as: UTF8.self)
    let script = try FakeScript(text, called: name.harmless)
    if !check { try FakeWorker(called: name.harmless).run(script) }
  }
}
