/* SPDX-License-Identifier: Apache-2.0 */
/* lauter.hpp in use. Each test is a sentence; `face WORDS` runs those that contain them, `face --leak` loses an object on
 * purpose, so that who looks for leaks can see that it finds one. */
#include <lauter.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>
#include <sys/stat.h>
#include <unistd.h>

using namespace std::chrono_literals;
using lauter::bytes_of;
using lauter::make_part;

namespace {

struct failed {
        const char *file;
        int line;
        std::string what;
};

#define EXPECT(condition)                                                                                              \
        do {                                                                                                           \
                if (!(condition)) throw failed{__FILE__, __LINE__, #condition};                                        \
        } while (false)

/** The error that `act` throws; not to throw one is a failure. */
template <typename F> lauter::error thrown(F act) {
        try {
                act();
        } catch (const lauter::error &error) {
                return error;
        }
        throw failed{__FILE__, __LINE__, "nothing was thrown"};
}

struct test {
        const char *sentence;
        void (*run)();
};

lauter::launch program(std::initializer_list<const char *> arguments) {
        lauter::launch launch("program");
        for (const char *argument : arguments) launch.set("argument", argument);
        return launch;
}

lauter::part python(std::string_view source) { return make_part("text/x-python", source); }

/** Events until `enough` says so; within 20 s. */
std::vector<lauter::event> events_until(lauter::host &host, const std::function<bool(const lauter::event &)> &enough) {
        std::vector<lauter::event> found;
        auto end = std::chrono::steady_clock::now() + 20s;
        while (std::chrono::steady_clock::now() < end) {
                lauter::event event;
                while (host.next(event)) {
                        found.push_back(std::move(event));
                        if (enough(found.back())) return found;
                }
                host.wait(100ms);
        }
        throw failed{__FILE__, __LINE__, "the event did not come within 20 s"};
}

auto of_kind(std::uint32_t kind) {
        return [kind](const lauter::event &event) { return event.kind() == kind; };
}

template <typename T>
constexpr bool moves_only = !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> &&
                            std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T>;
static_assert(moves_only<lauter::host> && moves_only<lauter::policy> && moves_only<lauter::launch> &&
              moves_only<lauter::event>);
static_assert(sizeof(lauter::host) == sizeof(void *) && sizeof(lauter::policy) == sizeof(void *) &&
              sizeof(lauter::launch) == sizeof(void *) && sizeof(lauter::event) == sizeof(lauter_event));
static_assert(std::is_trivially_copyable_v<lauter::worker> && std::is_trivially_copyable_v<lauter::call> &&
              std::is_trivially_copyable_v<lauter::channel>);
static_assert(moves_only<lauter::kept>);
static_assert(std::is_nothrow_copy_constructible_v<lauter::error> && std::is_nothrow_copy_assignable_v<lauter::error>);

const test tests[] = {
    {"what was moved from owns nothing, and refuses instead of crashing",
     [] {
             lauter::policy policy;
             lauter::policy other(std::move(policy));
             EXPECT(policy.get() == nullptr && other.get() != nullptr);
             EXPECT(thrown([&] { policy.set("net", "none"); }).code() == LAUTER_ERROR_INVALID);
             EXPECT(thrown([&] { return policy.text(); }).code() == LAUTER_ERROR_INVALID);
             policy = std::move(other);
             EXPECT(policy.set("net", "none").text().find("net none") != std::string::npos);
             EXPECT(other.get() == nullptr);

             lauter::host host, moved(std::move(host));
             EXPECT(host.fd() == -1 && moved.fd() >= 0);
             EXPECT(thrown([&] { host.wait(0ms); }).code() == LAUTER_ERROR_INVALID);
             EXPECT(thrown([&] { host.spawn(policy, program({"true"})); }).code() == LAUTER_ERROR_INVALID);
             lauter::launch launch("program"), taken(std::move(launch));
             EXPECT(thrown([&] { launch.set("label", "x"); }).code() == LAUTER_ERROR_INVALID);
             EXPECT(thrown([&] { moved.spawn(policy, launch); }).code() == LAUTER_ERROR_INVALID);
     }},

    {"an exception carries all that the C error says",
     [] {
             lauter::host host;
             lauter::policy policy;
             policy.set("read", "/usr");
             // A file that the kernel refuses to execute, found only when the launch comes to that step.
             std::string path = "/tmp/lauter-face-garbage-" + std::to_string(getpid());
             if (std::FILE *file = std::fopen(path.c_str(), "w")) {
                     std::fputs("\x7f"
                                "ELF, and then nothing like it",
                                file);
                     std::fclose(file);
             }
             EXPECT(chmod(path.c_str(), 0755) == 0);
             policy.set("read", path);
             lauter::launch launch("program");
             launch.set("argument", path);
             lauter::worker worker = host.spawn(policy, launch);
             lauter::error carried = thrown([&] { worker.wait_ready(); });

             lauter_error *error = nullptr;
             EXPECT(lauter_worker_wait_ready(host.get(), worker.id(), -1, &error) == carried.code());
             EXPECT(carried.code() == lauter_error_code(error) && carried.code() == LAUTER_ERROR_NOT_EXECUTABLE);
             EXPECT(carried.step() == lauter_error_step(error) && carried.step() > 0);
             EXPECT(carried.os_error() == lauter_error_errno(error) && carried.os_error() == ENOEXEC);
             EXPECT(carried.subject() == lauter_error_subject(error) && carried.subject() == path);
             EXPECT(carried.what() == std::string(lauter_error_message(error)));
             EXPECT(carried.code_name() == std::string("LAUTER_ERROR_NOT_EXECUTABLE"));
             lauter_error_free(error);
             unlink(path.c_str());

             lauter::event exited = worker.wait_exit();
             EXPECT(thrown([&] { exited.check(); }).step() == carried.step());
             EXPECT(exited.report()->reason == LAUTER_REASON_LAUNCH);
     }},

    {"an exception outlives what threw it, and copies of itself",
     [] {
             auto copy = std::make_unique<lauter::error>(thrown([] { lauter::policy("no such preset"); }));
             lauter::error second = *copy;
             copy.reset();
             EXPECT(second.code() == LAUTER_ERROR_POLICY && second.subject() == "no such preset");
             EXPECT(std::string(second.what()).find("no such preset") != std::string::npos);
             EXPECT(dynamic_cast<const std::runtime_error *>(&second) != nullptr);
     }},

    {"a text with a NUL inside is refused, not cut",
     [] {
             lauter::policy policy;
             std::string sly("/usr\0/../etc", 12);
             EXPECT(thrown([&] { policy.set("read", sly); }).code() == LAUTER_ERROR_INVALID);
             EXPECT(policy.set("read", std::string("/usr")).text().find("read /usr") != std::string::npos);
     }},

    {"a policy is printed, read, asked and explained",
     [] {
             lauter::policy policy("strict");
             policy.set("read", "/usr/share").set("limit", "wall=3s");
             EXPECT(lauter::policy("strict").parse(policy.text()).text() == policy.text());
             EXPECT(!policy.refusal("read", "/usr/share/doc"));
             auto why = policy.refusal("read", "/root/x");
             EXPECT(why && why->find("outside the policy") != std::string::npos);
             EXPECT(policy.explain(program({"/bin/true"})).find("seccomp") != std::string::npos);
             EXPECT(thrown([&] { policy.parse("net none\nnonsense\n"); }).code() == LAUTER_ERROR_POLICY);
     }},

    {"views are of containers, arrays and single objects",
     [] {
             std::vector<lauter::part> some{make_part("a", "1"), make_part("b", "22")};
             lauter::part plain[] = {make_part("c", ""), make_part("d", "4"), make_part("e", "5")};
             auto count = [](lauter::view<lauter::part> parts) { return parts.size(); };
             EXPECT(count({}) == 0 && count(some) == 2 && count(plain) == 3 && count(some[0]) == 1);
             EXPECT(count(std::array{some[0], some[1]}) == 2);
             std::size_t bytes = 0;
             for (const lauter::part &part : lauter::view<lauter::part>(some)) bytes += bytes_of(part).size();
             EXPECT(bytes == 3 && bytes_of(lauter::view<lauter::part>(plain)[1]) == "4");
             EXPECT(bytes_of(lauter::part{"x", nullptr, 0}).empty());
     }},

    {"cells run, print, fail and are interrupted",
     [] {
             lauter::host host;
             lauter::worker worker = host.spawn(lauter::policy(), lauter::launch("python"), 7);
             worker.wait_ready();
             EXPECT(worker.pid() > 0);
             lauter::event done = worker.start("execute", python("print('said'); 6 * 7"), lauter::forever, 8).wait();
             EXPECT(done.kind() == LAUTER_EVENT_DONE && done.worker_cookie() == 7 && done.call_cookie() == 8);
             EXPECT(done.check().part_of("text/plain") == "42" && !done.part_of("image/png"));
             EXPECT(!done.parts().empty() && done.report() == nullptr && done.written().empty());
             auto events = events_until(host, of_kind(LAUTER_EVENT_STREAM));
             EXPECT(events.back().written() == "said\n" && events.back().name().empty());
             EXPECT(host.worker_of(events.back()).id() == worker.id());

             lauter::error failure = thrown([&] { worker.start("execute", python("int('x')")).wait().check(); });
             EXPECT(failure.code() == LAUTER_ERROR_FAILED && failure.subject() == "ValueError");
             EXPECT(std::string(failure.what()).find("ValueError: invalid literal") == 0);

             lauter::call endless = worker.start("execute", python("while True: pass"));
             lauter::event interrupted;
             EXPECT(!endless.wait(interrupted, 50ms) && interrupted.kind() == LAUTER_EVENT_NONE);
             endless.interrupt();
             EXPECT(endless.wait(interrupted, 20s) && interrupted.name() == "KeyboardInterrupt");
             EXPECT(thrown([&] { endless.wait(); }).code() == LAUTER_ERROR_STALE);

             lauter::event late = worker.start("execute", python("while True: pass"), 100ms).wait();
             EXPECT(late.status() == LAUTER_ERROR_TIMEOUT);
             EXPECT(thrown([&] { late.check(); }).code() == LAUTER_ERROR_TIMEOUT);

             worker.start("execute", python("1")).abandon();
             worker.stop(10s, 1s);
             lauter::event exited = worker.wait_exit();
             EXPECT(exited.report()->reason == LAUTER_REASON_STOPPED && exited.report()->rung == LAUTER_RUNG_ASKED);
             EXPECT(lauter::json(*exited.report()).find("\"stopped\"") != std::string::npos);
             EXPECT(thrown([&] { worker.kill(); }).code() == LAUTER_ERROR_STALE);
     }},

    {"a worker's calls are answered and refused",
     [] {
             lauter::host host;
             lauter::worker worker = host.spawn(lauter::policy(), lauter::launch("python"));
             for (bool answer : {true, false}) {
                     lauter::call cell = worker.start("execute", python("input('who? ').upper()"));
                     auto asked = events_until(host, of_kind(LAUTER_EVENT_CALL));
                     EXPECT(asked.back().name() == "input" && asked.back().part_of("text/plain") == "who? ");
                     lauter::call question = host.call_of(asked.back());
                     if (answer)
                             question.reply(make_part("text/plain", "ada"));
                     else
                             question.fail("EOFError", "nobody is there");
                     lauter::event done = cell.wait();
                     EXPECT(answer ? done.check().part_of("text/plain") == "'ADA'" : done.name() == "EOFError");
                     EXPECT(thrown([&] { question.reply(); }).code() == LAUTER_ERROR_STALE);
             }
     }},

    {"a channel carries messages both ways until both sides have ended it",
     [] {
             lauter::host host;
             lauter::worker worker = host.spawn(lauter::policy(), lauter::launch("python"));
             lauter::call cell =
                 worker.start("execute", python("import lauter_worker\n"
                                                "with lauter_worker.accept_channel('shout') as channel:\n"
                                                "    for word in channel: channel.send(word.upper())\n"));
             lauter::channel channel = worker.open("shout", {}, 0, 9);
             lauter::event heard;
             EXPECT(!channel.receive(heard, 50ms) && heard.kind() == LAUTER_EVENT_NONE);
             for (const char *word : {"one", "two"}) EXPECT(channel.send(make_part("text/plain", word)));
             for (const char *word : {"ONE", "TWO"}) {
                     EXPECT(channel.receive(heard, 20s) && heard.kind() == LAUTER_EVENT_CHANNEL_DATA);
                     EXPECT(heard.part_of("text/plain") == word && heard.channel_cookie() == 9);
                     EXPECT(host.channel_of(heard).id() == channel.id());
             }
             channel.end();
             EXPECT(thrown([&] { (void)channel.send({}); }).code() == LAUTER_ERROR_STATE);
             EXPECT(channel.receive().kind() == LAUTER_EVENT_CHANNEL_END);
             lauter::event closed = channel.receive();
             EXPECT(closed.kind() == LAUTER_EVENT_CHANNEL_CLOSED && closed.check().status() == LAUTER_OK);
             EXPECT(thrown([&] { channel.receive(); }).code() == LAUTER_ERROR_STALE);
             cell.wait().check();
     }},

    {"a channel is accepted, refuses what waits too long, and is cancelled with a reason",
     [] {
             lauter::host host;
             lauter::worker worker = host.spawn(lauter::policy(), lauter::launch("python"));
             lauter::call cell = worker.start("execute", python("import lauter_worker\n"
                                                                "channel = lauter_worker.open_channel('ask')\n"
                                                                "channel.send('hello')\n"
                                                                "channel.recv()\n"));
             auto offered = events_until(host, of_kind(LAUTER_EVENT_CHANNEL_OPENED));
             EXPECT(offered.back().name() == "ask");
             lauter::channel channel = host.channel_of(offered.back());
             channel.accept(1000, 4);
             lauter::event hello = channel.receive();
             EXPECT(hello.part_of("text/plain") == "hello" && hello.channel_cookie() == 4);
             channel.cancel("Bored", "nothing to say");
             lauter::error told = thrown([&] { cell.wait().check(); });
             EXPECT(std::string(told.what()).find("nothing to say") != std::string::npos);

             lauter::channel unread = worker.open("nobody accepts it");
             std::string large(700'000, 'x');
             EXPECT(unread.send(make_part("a/b", large)));
             EXPECT(!unread.send(make_part("a/b", large))); // nothing of it was taken
             worker.kill();
             EXPECT(thrown([&] { unread.receive().check(); }).code() == LAUTER_ERROR_DIED);
     }},

    {"a result is put where the program wants it, and a part is kept beyond event and host",
     [] {
             std::optional<lauter::kept> kept;
             std::array<char, 64> memory{};
             {
                     lauter::host host;
                     lauter::worker worker = host.spawn(lauter::policy(), lauter::launch("python"));
                     worker.wait_ready();
                     lauter::call call = worker.start("execute", python("6 * 7"));
                     call.into(memory.data(), memory.size());
                     lauter::event done = call.wait();
                     EXPECT(done.check().part_of("text/plain")->data() >= memory.data() &&
                            done.part_of("text/plain")->data() < memory.data() + memory.size());
                     EXPECT(thrown([&] { call.into(memory.data(), memory.size()); }).code() == LAUTER_ERROR_STALE);
                     lauter::event other = worker.start("execute", python("'a' * 100")).wait();
                     for (std::size_t i = 0; i < other.parts().size(); i++)
                             if (other.parts()[i].type == std::string_view("text/plain")) kept.emplace(other, i);
                     EXPECT(thrown([&] { lauter::kept(other, 99); }).code() == LAUTER_ERROR_INVALID);
                     EXPECT(thrown([&] {
                                    worker.start("execute", python("1"), lauter::forever, 0, LAUTER_LANE_SIDE);
                            }).code() == LAUTER_ERROR_UNSUPPORTED);
             }
             EXPECT(kept && kept->bytes() == "'" + std::string(100, 'a') + "'");
             lauter::kept moved(std::move(*kept));
             EXPECT(moved.bytes().size() == 102 && moved.part().type == std::string("text/plain"));
             EXPECT(kept->bytes().empty());
     }},

    {"a file of a worker's view is opened, at once or as an event",
     [] {
             lauter::host host;
             lauter::worker worker = host.spawn(lauter::policy(), program({"sleep", "60"}));
             worker.wait_ready();
             int file = worker.open_file("/etc/passwd", LAUTER_OPEN_READ, 20s);
             char byte = 0;
             EXPECT(read(file, &byte, 1) == 1 && close(file) == 0);
             worker.start_open_file("/etc/passwd", LAUTER_OPEN_READ, 20s, 6);
             auto events = events_until(host, of_kind(LAUTER_EVENT_DESCRIPTOR));
             file = events.back().take_descriptor();
             EXPECT(read(file, &byte, 1) == 1 && close(file) == 0);
             EXPECT(events.back().take_descriptor() == -1 && lauter::event().take_descriptor() == -1);
             EXPECT(thrown([&] { worker.dial(1, 20s); }).code() < 0);
             worker.start_dial(1, 20s);
             EXPECT(events_until(host, of_kind(LAUTER_EVENT_DESCRIPTOR)).back().take_descriptor() == -1);
     }},

    {"standard input is written and ended, and writing nothing does not end it",
     [] {
             lauter::host host;
             lauter::launch cat = program({"cat"});
             cat.set("stdin", "pipe");
             lauter::worker worker = host.spawn(lauter::policy(), cat);
             worker.wait_ready();
             worker.write("");
             worker.write("through the cat");
             auto seen = events_until(host, of_kind(LAUTER_EVENT_STREAM));
             EXPECT(seen.back().written() == "through the cat");
             lauter::event exited;
             EXPECT(!worker.wait_exit(exited, 50ms));
             worker.end_input();
             EXPECT(worker.wait_exit(exited, 20s) && exited.report()->exit_code == 0);
     }},

    {"an event that was moved keeps what it holds, and only one of the two frees it",
     [] {
             lauter::host host;
             host.spawn(lauter::policy(), program({"echo", "kept"}));
             auto events = events_until(host, of_kind(LAUTER_EVENT_EXITED));
             lauter::event stream;
             for (lauter::event &event : events)
                     if (!event.written().empty()) stream = std::move(event);
             const char *place = stream.written().data();
             lauter::event moved(std::move(stream));
             EXPECT(moved.written() == "kept\n" && moved.written().data() == place);
             EXPECT(stream.kind() == LAUTER_EVENT_NONE && stream.parts().empty() && stream.name().empty());
             stream = std::move(moved);
             stream = std::move(*&stream);
             EXPECT(stream.written() == "kept\n" && moved.raw().owner == nullptr);
             EXPECT(!host.next(moved)); // One that was moved from can be used again.
             stream.clear();
             EXPECT(stream.raw().owner == nullptr);
             stream.clear();
     }},

    {"workers follow a host that is moved, and end with it, also when an exception unwinds it",
     [] {
             std::int32_t pid = 0;
             try {
                     auto first = std::make_unique<lauter::host>();
                     lauter::worker worker = first->spawn(lauter::policy(), program({"sleep", "60"}));
                     lauter::host second(std::move(*first));
                     first.reset();
                     worker.wait_ready();
                     pid = worker.pid();
                     EXPECT(kill(pid, 0) == 0); // The probe sees it while it lives.
                     worker.signal(SIGCONT);
                     lauter::policy("no such preset");
             } catch (const lauter::error &error) {
                     EXPECT(error.code() == LAUTER_ERROR_POLICY);
             }
             // Its processes are gone; a PID 1 that reaps slowly may keep the init's entry as a zombie.
             std::string state, path = "/proc/" + std::to_string(pid) + "/stat";
             if (std::FILE *file = std::fopen(path.c_str(), "r")) {
                     char text[256] = {};
                     state.assign(text, std::fread(text, 1, sizeof text - 1, file));
                     std::fclose(file);
             }
             EXPECT(pid > 0 && (state.empty() || state.find(") Z") != std::string::npos));
     }},

    {"a paused worker stands still until it is resumed",
     [] {
             lauter::host host;
             lauter::worker worker = host.spawn(lauter::policy(), lauter::launch("python"));
             worker.wait_ready();
             worker.pause();
             // A call may be answered yet before it holds.
             lauter::call call = worker.start("execute", python("6 * 7"));
             lauter::event done;
             int answered = 0;
             while (answered < 20 && call.wait(done, 200ms)) {
                     answered++;
                     call = worker.start("execute", python("6 * 7"));
             }
             EXPECT(answered < 20);
             worker.resume();
             EXPECT(call.wait().check().part_of("text/plain") == "42");
     }},

    {"a worker has a terminal, of the size that was told last",
     [] {
             lauter::host host;
             lauter::launch shell = program({"sh", "-c", "read line; stty size; read line"});
             shell.set("terminal", "24x80");
             lauter::worker worker = host.spawn(lauter::policy(), shell);
             worker.wait_ready();
             worker.resize(30, 100);
             worker.foreground(true);
             worker.write("go\n");
             std::string seen;
             auto says = [&](const lauter::event &event) {
                     seen += event.written();
                     return seen.find("30 100") != std::string::npos;
             };
             events_until(host, says);
             worker.end_input();
             EXPECT(events_until(host, of_kind(LAUTER_EVENT_EXITED)).back().report()->reason == LAUTER_REASON_EXITED);
     }},

    {"a wait for a worker that is not ready says so",
     [] {
             lauter::host host;
             lauter::launch silent("worker"); // Never greets on descriptor 3.
             silent.set("argument", "sleep").set("argument", "60").set("ready-timeout", "400ms");
             lauter::worker worker = host.spawn(lauter::policy(), silent);
             EXPECT(!worker.wait_ready(20ms));
             lauter::error gone = thrown([&] { (void)worker.wait_ready(20s); });
             EXPECT(gone.code() == LAUTER_ERROR_TIMEOUT && gone.subject() == "ready-timeout");
             lauter::host other;
             EXPECT(thrown([&] { lauter::worker(other.get(), worker.id()).kill(); }).code() == LAUTER_ERROR_STALE);
     }},

    {"a killed worker's call throws why",
     [] {
             lauter::host host;
             lauter::worker worker = host.spawn(lauter::policy(), lauter::launch("python"));
             lauter::call call = worker.start("execute", python("while True: pass"));
             worker.wait_ready();
             worker.kill();
             lauter::event done = call.wait();
             EXPECT(done.status() == LAUTER_ERROR_DIED);
             lauter::error died = thrown([&] { done.check(); });
             EXPECT(died.code() == LAUTER_ERROR_DIED &&
                    died.what() == std::string(lauter_error_message(done.raw().error)));
             EXPECT(lauter::version() == std::string(lauter_version()));
     }},

    {"the doctor tells of every preset",
     [] {
             lauter::examination found = lauter::doctor();
             EXPECT(found.status >= 0 && found.status <= 2);
             for (const char *preset : {"notebook", "strict", "unconfined"})
                     EXPECT(found.json.find("{\"preset\":\"" + std::string(preset) + "\"") != std::string::npos);
     }},

};

} // namespace

int main(int count, char **arguments) {
        std::string wanted = count > 1 ? arguments[1] : "";
        if (wanted == "--leak") {
                lauter_policy *lost = nullptr;
                int32_t code = lauter_policy_new("notebook", &lost, nullptr);
                lost = nullptr;
                return code;
        }
        int passed = 0, wrong = 0;
        for (const test &each : tests) {
                if (std::string(each.sentence).find(wanted) == std::string::npos) continue;
                try {
                        each.run();
                        passed++;
                        std::printf("ok   %s\n", each.sentence);
                } catch (const failed &failure) {
                        wrong++;
                        std::printf("FAIL %s\n     %s:%d: %s\n", each.sentence, failure.file, failure.line,
                                    failure.what.c_str());
                } catch (const std::exception &error) {
                        wrong++;
                        std::printf("FAIL %s\n     threw: %s\n", each.sentence, error.what());
                }
        }
        std::printf("%d passed, %d failed\n", passed, wrong);
        return wrong || !passed;
}
