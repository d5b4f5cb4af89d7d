// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import LauterPolicy

@Suite struct PolicyTextTests {
  @Test func `a preset prints all that it says`() throws {
    #expect(
      try Policy(preset: "notebook").text == """
        # preset notebook
        tmp 1G
        home private
        net private
        run any
        jit any
        nest none
        violations tell
        limit memory=4G
        limit processes=256
        limit cpus=none
        limit open-files=4096
        limit file-size=none
        limit output=none
        limit arena=256M
        limit cpu=none
        limit wall=none

        """)
    #expect(
      try Policy(preset: "strict").text == """
        # preset strict
        tmp 64M
        home none
        net none
        run none
        jit any
        nest none
        violations kill
        limit memory=1G
        limit processes=32
        limit cpus=none
        limit open-files=4096
        limit file-size=none
        limit output=none
        limit arena=256M
        limit cpu=none
        limit wall=none

        """)
    #expect(
      try Policy(preset: "unconfined").text == """
        # preset unconfined
        net host
        run any
        limit memory=none
        limit processes=none
        limit cpus=none
        limit open-files=none
        limit file-size=none
        limit output=none
        limit arena=256M
        limit cpu=none
        limit wall=none

        """)
  }

  @Test(arguments: ["notebook", "strict"])
  func `what is printed parses to an equal policy`(preset: String) throws {
    var policy = try Policy(preset: preset)
    let words = [
      ("read", "/data"), ("write", "/data/out"), ("deny", "/data/.env"), ("read", "/a b/c"),
      ("read", "/odd\nname "), ("write", "/back\\slash\t"), ("home", "/data/ home"),
      ("net", "host"), ("env", "A= x\ny\\ "), ("env", "B="), ("limit", "memory=1500K"),
      ("limit", "wall=90s"), ("limit", "processes=none"), ("tmp", "3M"), ("run", "none"),
      ("jit", "none"), ("nest", "any"),
      ("limit", "cpu=1500ms"), ("limit", "open-files=99"), ("limit", "file-size=1M"),
      ("limit", "output=5"), ("limit", "cpus=1.05"), ("allow-missing", "limit"),
    ]
    for (word, value) in words { try policy.set(word, value, environment: nobody) }
    var parsed = try Policy(preset: preset)
    #expect(parsed != policy)
    try parsed.parse(policy.text, environment: nobody)
    #expect(parsed == policy)
    #expect(parsed.text == policy.text)
    #expect(parsed.variable("A") == " x\ny\\ ")
    #expect(parsed.rules.contains { $0.path == "/odd\nname " })
  }

  @Test func `the order of words does not show`() throws {
    var one = try Policy(preset: "notebook")
    var other = try Policy(preset: "notebook")
    let words = [("read", "/b"), ("write", "/a"), ("env", "Z=1"), ("env", "A=2")]
    for (word, value) in words { try one.set(word, value, environment: nobody) }
    for (word, value) in words.reversed() { try other.set(word, value, environment: nobody) }
    #expect(one == other)
  }

  @Test func `policies of two presets differ whatever their words`() throws {
    var policy = try Policy(preset: "notebook")
    let strict = try Policy(preset: "strict")
    try policy.parse(strict.text, environment: nobody)
    #expect(policy.temporaryBytes == strict.temporaryBytes)
    #expect(policy != strict)
  }

  @Test func `comments, blank lines, spaces and carriage returns are no words`() throws {
    var policy = try Policy(preset: "notebook")
    try policy.parse("# a comment\n\n  \t\n   read\t /data  \r\n#read /x", environment: nobody)
    #expect(policy.rules.map(\.path) == ["/data"])
  }

  @Test(arguments: [
    ("net none\nnot a word", "line 2: unknown word 'not'; did you mean 'net'?"),
    ("\n\nread", "line 3: read: a value is missing"),
    ("reed", "line 1: unknown word 'reed'; did you mean 'read'?"),
    ("read /a\nread b", "line 2: read b: the path is relative; give an absolute one"),
    (
      "read /a\\x",
      "line 1: read: a backslash stands before n, r, t, s or a backslash; write \\\\ for one"
    ),
    ("read /a\\", "line 1: read: the value ends in a single backslash; write \\\\ for one"),
  ])
  func `a bad line is named and nothing is applied`(text: String, message: String) throws {
    var policy = try Policy(preset: "notebook")
    let before = policy
    do throws(PolicyError) {
      try policy.parse(text, environment: nobody)
      Issue.record("parsed")
    } catch {
      #expect(error.message == message)
    }
    #expect(policy == before)
  }
}
