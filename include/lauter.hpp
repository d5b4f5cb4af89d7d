/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file lauter.hpp
 * The C++ face of lauter.h: owners that free what they own, and errors as exceptions. C++17, header only.
 *
 * Link with the library of lauter.h and nothing more: everything here is inline and compiles to its calls. What holds for a
 * function of lauter.h (which threads, what blocks, which errors) holds for the member that calls it, and is said there.
 *
 * - lauter::host, lauter::policy, lauter::launch, lauter::event and lauter::kept own one object each. They can be moved and
 *   not copied; one that was moved from owns nothing, and what is asked of it throws INVALID.
 * - lauter::worker, lauter::call and lauter::channel are ids with their host beside: copied freely, as a pointer would be, and
 *   valid as long as that host is, wherever it was moved to.
 * - Whatever fails throws lauter::error. A wait that takes a timeout returns false when the time was up.
 * - Nothing here starts a thread, and what sleeps is what lauter.h marks **Blocks**. A signal handler that ran while a wait
 *   slept makes it throw LAUTER_ERROR_INTERRUPTED: catch it, act on the signal, wait again.
 */
#ifndef LAUTER_HPP
#define LAUTER_HPP

#include <lauter.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

/** The C++ face of lauter.h. */
namespace lauter {

/** Time for a wait or a call. */
using milliseconds = std::chrono::milliseconds;

/** Without end: what timeouts are by default. */
inline constexpr milliseconds forever{-1};

/** What every failure throws. */
class error : public std::runtime_error {
      public:
        /** An error of one's own, in the library's terms. */
        error(std::int32_t code, const std::string &message, std::string subject = {}, int os_error = 0, int step = 0)
            : std::runtime_error(message), subject_(std::make_shared<const std::string>(std::move(subject))),
              code_(code), os_error_(os_error), step_(step) {}

        /** What the library lent, copied. */
        explicit error(const lauter_error *lent)
            : error(lauter_error_code(lent), lauter_error_message(lent), lauter_error_subject(lent),
                    lauter_error_errno(lent), lauter_error_step(lent)) {}

        /** LAUTER_ERROR_*. */
        std::int32_t code() const noexcept { return code_; }
        /** Its name: "LAUTER_ERROR_STALE". */
        const char *code_name() const noexcept { return lauter_code_name(code_); }
        /** The errno of the failed system call, or 0. */
        int os_error() const noexcept { return os_error_; }
        /** The number of the launch step that failed, or 0. */
        int step() const noexcept { return step_; }
        /** What it is about: a path, a word, an id; may be empty. */
        const std::string &subject() const noexcept { return *subject_; }

      private:
        std::shared_ptr<const std::string> subject_; // Shared: copying an exception must not throw.
        std::int32_t code_;
        int os_error_;
        int step_;
};

/** A string that goes in: NUL-terminated, borrowed for the call. A std::string with a NUL inside throws INVALID. */
class zstring {
      public:
        /** Of a literal, or of C. */
        zstring(const char *text) noexcept : text_(text) {} // NOLINT: meant to convert
        /** Of a string of C++'s. */
        zstring(const std::string &text) : text_(text.c_str()) { // NOLINT: meant to convert
                if (std::strlen(text_) != text.size())
                        throw error(LAUTER_ERROR_INVALID, "a NUL byte within a text", text_);
        }
        /** As C takes it. */
        const char *c_str() const noexcept { return text_; }

      private:
        const char *text_;
};

/** A borrowed array: a pointer and a length, as C++20's std::span<const T>. */
template <typename T> class view {
      public:
        /** Of nothing. */
        constexpr view() noexcept = default;
        /** Of `size` objects at `data`. */
        constexpr view(const T *data, std::size_t size) noexcept : data_(data), size_(size) {}
        /** Of one object. */
        constexpr view(const T &single) noexcept : data_(&single), size_(1) {} // NOLINT: meant to convert
        /** Of an array. */
        template <std::size_t N> constexpr view(const T (&array)[N]) noexcept : data_(array), size_(N) {} // NOLINT
        /** Of whatever has data() and size(): std::vector, std::array, std::span. */
        template <typename C, typename = std::enable_if_t<
                                  std::is_convertible_v<decltype(std::declval<const C &>().data()), const T *>>>
        constexpr view(const C &container) noexcept : data_(container.data()), size_(container.size()) {} // NOLINT

        /** The first of them; may be NULL if there is none. */
        constexpr const T *data() const noexcept { return data_; }
        /** How many. */
        constexpr std::size_t size() const noexcept { return size_; }
        /** Whether there is none. */
        constexpr bool empty() const noexcept { return size_ == 0; }
        /** For loops. */
        constexpr const T *begin() const noexcept { return data_; }
        /** For loops. */
        constexpr const T *end() const noexcept { return data_ + size_; }
        /** The one at `index`, which is less than size(). */
        constexpr const T &operator[](std::size_t index) const noexcept { return data_[index]; }

      private:
        const T *data_ = nullptr;
        std::size_t size_ = 0;
};

/** One part of a message: a media type and bytes, both borrowed. */
using part = lauter_part;

/** A part of a type and bytes, both borrowed: `{lauter::make_part("text/x-python", source)}`. */
inline part make_part(const char *type, std::string_view bytes) noexcept { return {type, bytes.data(), bytes.size()}; }

/** The bytes of a part. */
inline std::string_view bytes_of(const part &of) noexcept {
        return of.size == 0 ? std::string_view() : std::string_view(static_cast<const char *>(of.data), of.size);
}

/** @cond internal */
namespace detail {

/** Frees what the library made. */
struct deleter {
        void operator()(lauter_host *host) const noexcept { lauter_host_free(host); }
        void operator()(lauter_policy *policy) const noexcept { lauter_policy_free(policy); }
        void operator()(lauter_launch *launch) const noexcept { lauter_launch_free(launch); }
        void operator()(lauter_error *error) const noexcept { lauter_error_free(error); }
        void operator()(lauter_kept *kept) const noexcept { lauter_part_release(kept); }
        void operator()(char *string) const noexcept { lauter_string_free(string); }
};
template <typename T> using owner = std::unique_ptr<T, deleter>;

[[noreturn]] inline void raise(std::int32_t code, owner<lauter_error> owned) {
        if (owned) throw error(owned.get());
        throw error(code, lauter_code_name(code));
}

/** Call a function whose last parameter is the error; throw if it fails. */
template <typename... P, typename... A> std::int32_t call(std::int32_t (*function)(P...), A... arguments) {
        lauter_error *failure = nullptr;
        std::int32_t code = function(arguments..., &failure);
        if (code < 0) raise(code, owner<lauter_error>(failure));
        return code;
}

/** Likewise for one that waits: false when its time was up. */
template <typename... P, typename... A> bool wait(std::int32_t (*function)(P...), A... arguments) {
        lauter_error *failure = nullptr;
        std::int32_t code = function(arguments..., &failure);
        if (code >= 0) return true;
        owner<lauter_error> owned(failure);
        // A worker that was not ready in its launch's time is gone: that is no "not yet".
        bool gone = owned && std::strcmp(lauter_error_subject(owned.get()), "ready-timeout") == 0;
        if (code == LAUTER_ERROR_TIMEOUT && !gone) return false;
        raise(code, std::move(owned));
}

/** Likewise for one that makes an object, or a string. */
template <typename T, typename... P, typename... A> owner<T> make(std::int32_t (*function)(P...), A... arguments) {
        T *made = nullptr;
        call(function, arguments..., &made);
        return owner<T>(made);
}

template <typename... P, typename... A> std::string text(std::int32_t (*function)(P...), A... arguments) {
        return make<char>(function, arguments...).get();
}

} // namespace detail
/** @endcond */

/** The library's version: "0.1.0". */
inline const char *version() noexcept { return lauter_version(); }

/** A report as one JSON object: lauter_report_json(). */
inline std::string json(const lauter_report &report) { return detail::text(lauter_report_json, &report); }

/** What a machine can enforce: lauter_doctor(). */
struct examination {
        /** 0: everything; 1: something is missing; 2: a preset cannot be launched. */
        std::int32_t status;
        /** All of it, as lauter_doctor() describes it. */
        std::string json;
};

/** Find out what this machine can enforce for the calling process: lauter_doctor(). */
inline examination doctor() {
        char *json = nullptr;
        std::int32_t status = detail::call(lauter_doctor, &json);
        return {status, detail::owner<char>(json).get()};
}

/** What is started in the sandbox: lauter_launch_new(). */
class launch {
      public:
        /** A launch of a kind: "python", "worker", "program". */
        explicit launch(zstring kind) : owned_(detail::make<lauter_launch>(lauter_launch_new, kind.c_str())) {}
        /** Set one property: lauter_launch_set(). */
        launch &set(zstring property, zstring value) {
                detail::call(lauter_launch_set, owned_.get(), property.c_str(), value.c_str());
                return *this;
        }
        /** The C object, borrowed. */
        lauter_launch *get() const noexcept { return owned_.get(); }

      private:
        detail::owner<lauter_launch> owned_;
};

/** What a worker may read, write, reach and use up: lauter_policy_new(). */
class policy {
      public:
        /** A preset: "notebook", "strict", "unconfined". */
        explicit policy(zstring preset = "notebook")
            : owned_(detail::make<lauter_policy>(lauter_policy_new, preset.c_str())) {}
        /** Add one word: lauter_policy_set(). */
        policy &set(zstring word, zstring value) {
                detail::call(lauter_policy_set, owned_.get(), word.c_str(), value.c_str());
                return *this;
        }
        /** Apply a text, all of it or nothing: lauter_policy_parse(). */
        policy &parse(zstring text) {
                detail::call(lauter_policy_parse, owned_.get(), text.c_str());
                return *this;
        }
        /** The text that parse() reads: lauter_policy_print(). */
        std::string text() const { return detail::text(lauter_policy_print, owned_.get()); }
        /** Why something is not allowed and what would allow it, or nothing if it is: lauter_policy_check(). */
        std::optional<std::string> refusal(zstring word, zstring value) const {
                char *why = nullptr;
                detail::call(lauter_policy_check, owned_.get(), word.c_str(), value.c_str(), &why);
                detail::owner<char> owned(why);
                return owned ? std::optional<std::string>(owned.get()) : std::nullopt;
        }
        /** The worker's own namespaces, then what the kernel would be told, one numbered step a line: lauter_policy_explain(). */
        std::string explain(const launch &launch) const {
                return detail::text(lauter_policy_explain, owned_.get(), launch.get());
        }
        /** The C object, borrowed. */
        lauter_policy *get() const noexcept { return owned_.get(); }

      private:
        detail::owner<lauter_policy> owned_;
};

/** Something that happened, and what it holds: lauter_event. What it lends is valid until it is used again or destroyed. */
class event {
      public:
        /** One that holds nothing. */
        event() noexcept { raw_.size = sizeof raw_; }
        /** Takes what the other holds. */
        event(event &&other) noexcept : raw_(std::exchange(other.raw_, event().raw_)) {}
        /** Frees what it holds, and takes what the other does. */
        event &operator=(event &&other) noexcept {
                if (this != &other) {
                        clear();
                        std::swap(raw_, other.raw_);
                }
                return *this;
        }
        ~event() { clear(); }

        /** Free what it holds. */
        void clear() noexcept { lauter_event_clear(&raw_); }
        /** LAUTER_EVENT_*. */
        std::uint32_t kind() const noexcept { return raw_.kind; }
        /** As given to host::spawn(). */
        std::uint64_t worker_cookie() const noexcept { return raw_.worker_cookie; }
        /** As given to worker::start(). */
        std::uint64_t call_cookie() const noexcept { return raw_.call_cookie; }
        /** As given to worker::open() or channel::accept(). */
        std::uint64_t channel_cookie() const noexcept { return raw_.channel_cookie; }
        /** DONE, CHANNEL_CLOSED: LAUTER_OK, or how the call or the channel failed. */
        std::int32_t status() const noexcept { return raw_.status; }
        /** The output's, verb's, channel's, failure's or runtime's name; may be empty. */
        std::string_view name() const noexcept { return raw_.name ? raw_.name : ""; }
        /** All parts. */
        view<part> parts() const noexcept { return {raw_.parts, raw_.part_count}; }
        /** The bytes of the first part of a media type, if there is one. */
        std::optional<std::string_view> part_of(std::string_view type) const noexcept {
                for (const part &each : parts())
                        if (type == each.type) return bytes_of(each);
                return std::nullopt;
        }
        /** STREAM: the bytes that were written. */
        std::string_view written() const noexcept {
                return raw_.kind == LAUTER_EVENT_STREAM && raw_.part_count == 1 ? bytes_of(raw_.parts[0])
                                                                                : std::string_view();
        }
        /** DESCRIPTOR: what was opened, the caller's to close from then on; else -1: lauter_event_take_descriptor(). */
        int take_descriptor() noexcept { return lauter_event_take_descriptor(&raw_); }
        /** EXITED: how the worker ended; else NULL. */
        const lauter_report *report() const noexcept { return raw_.report; }
        /**
         * Throw what went wrong, if something did: the event's error, or the failure that a call came to. Of that, the subject
         * is the name ("ValueError"), and the message has its text/plain part, too.
         */
        const event &check() const {
                if (raw_.error) throw error(raw_.error);
                if (raw_.status == LAUTER_OK) return *this;
                std::string subject(name()), message(subject.empty() ? lauter_code_name(raw_.status) : subject);
                if (auto text = part_of("text/plain"); text && !text->empty()) message.append(": ").append(*text);
                throw error(raw_.status, message, std::move(subject));
        }
        /** Everything else, as C has it. */
        const lauter_event &raw() const noexcept { return raw_; }
        /** For a function of lauter.h that fills it. */
        lauter_event *get() noexcept { return &raw_; }

      private:
        lauter_event raw_{};
};

/** A part of an event that is kept beyond it, where it is: lauter_part_retain(). */
class kept {
      public:
        /** The part of an index, below `parts().size()`. */
        kept(const event &of, std::size_t index = 0)
            : owned_(detail::make<lauter_kept>(lauter_part_retain, &of.raw(), index)), part_(of.parts()[index]) {}
        /** Its type and data; not once it was moved from. */
        const lauter::part &part() const noexcept { return part_; }
        /** Its data. */
        std::string_view bytes() const noexcept { return owned_ ? bytes_of(part_) : std::string_view(); }

      private:
        detail::owner<lauter_kept> owned_;
        lauter::part part_;
};

/** A call in flight: an id, and its host. */
class call {
      public:
        /** The call of an id, which may be stale. */
        call(lauter_host *host, lauter_call id) noexcept : host_(host), id_(id) {}
        /** Its id, as events have it. */
        lauter_call id() const noexcept { return id_; }
        /** Sleep until it is done: lauter_call_wait(). What it came to is the event's: see event::check(). */
        event wait() const {
                event done;
                detail::call(lauter_call_wait, host_, id_, std::int64_t{-1}, done.get());
                return done;
        }
        /** Likewise for at most `timeout`; false if it goes on. */
        [[nodiscard]] bool wait(event &done, milliseconds timeout) const {
                return detail::wait(lauter_call_wait, host_, id_, std::int64_t{timeout.count()}, done.get());
        }
        /** Ask it to stop: lauter_call_interrupt(). */
        void interrupt() const { detail::call(lauter_call_interrupt, host_, id_); }
        /** Where its result's parts are to be put, if they fit: lauter_call_into(). `memory` must last until it is done. */
        void into(void *memory, std::size_t size) const { detail::call(lauter_call_into, host_, id_, memory, size); }
        /** Drop what is still to come of it: lauter_call_abandon(). */
        void abandon() const { detail::call(lauter_call_abandon, host_, id_); }
        /** Answer one that came from a worker: lauter_call_reply(). */
        void reply(view<part> parts = {}) const {
                detail::call(lauter_call_reply, host_, id_, parts.data(), parts.size());
        }
        /** Answer one that came from a worker with a failure: lauter_call_fail(). */
        void fail(zstring name, zstring message) const {
                detail::call(lauter_call_fail, host_, id_, name.c_str(), message.c_str());
        }

      private:
        lauter_host *host_;
        lauter_call id_;
};

/** A channel to a worker: an id, and its host. */
class channel {
      public:
        /** The channel of an id, which may be stale. */
        channel(lauter_host *host, lauter_channel id) noexcept : host_(host), id_(id) {}
        /** Its id, as events have it. */
        lauter_channel id() const noexcept { return id_; }
        /** Accept one that the worker opened: lauter_channel_accept(). A window of 0 is 1 MiB. */
        void accept(std::size_t window = 0, std::uint64_t cookie = 0) const {
                detail::call(lauter_channel_accept, host_, id_, window, cookie);
        }
        /** Send a message, copied: lauter_channel_send(). False if too much waits already: nothing was taken, and its
         * CHANNEL_WRITABLE event tells when to send this again. */
        [[nodiscard]] bool send(view<lauter::part> parts) const {
                lauter_error *failure = nullptr;
                std::int32_t code = lauter_channel_send(host_, id_, parts.data(), parts.size(), &failure);
                if (code >= 0) return true;
                detail::owner<lauter_error> owned(failure);
                // A message that is too large has no channel for its subject.
                if (code == LAUTER_ERROR_LIMIT && owned && std::to_string(id_) == lauter_error_subject(owned.get()))
                        return false;
                detail::raise(code, std::move(owned));
        }
        /** Sleep until there is an event of it: lauter_channel_receive(). */
        event receive() const {
                event next;
                detail::call(lauter_channel_receive, host_, id_, std::int64_t{-1}, next.get());
                return next;
        }
        /** Likewise for at most `timeout`; false if there was none. */
        [[nodiscard]] bool receive(event &next, milliseconds timeout) const {
                return detail::wait(lauter_channel_receive, host_, id_, std::int64_t{timeout.count()}, next.get());
        }
        /** Send no more: lauter_channel_end(). */
        void end() const { detail::call(lauter_channel_end, host_, id_); }
        /** End both directions at once, or refuse it: lauter_channel_cancel(). */
        void cancel(zstring name, zstring message) const {
                detail::call(lauter_channel_cancel, host_, id_, name.c_str(), message.c_str());
        }

      private:
        lauter_host *host_;
        lauter_channel id_;
};

/** Throw if the parts do not hold one whole value: lauter_value_check(). */
inline void check_value(view<part> parts) { detail::call(lauter_value_check, parts.data(), parts.size()); }

/** A worker: an id, and its host. */
class worker {
      public:
        /** The worker of an id, which may be stale. */
        worker(lauter_host *host, lauter_worker id) noexcept : host_(host), id_(id) {}
        /** Its id, as events have it. */
        lauter_worker id() const noexcept { return id_; }
        /** Sleep until it takes calls: lauter_worker_wait_ready(). */
        void wait_ready() const { detail::call(lauter_worker_wait_ready, host_, id_, std::int64_t{-1}); }
        /** Likewise for at most `timeout`; false if it is not ready yet. */
        [[nodiscard]] bool wait_ready(milliseconds timeout) const {
                return detail::wait(lauter_worker_wait_ready, host_, id_, std::int64_t{timeout.count()});
        }
        /** Start a call: lauter_call_start(). The parts are copied. LAUTER_LANE_SIDE runs it beside the others. */
        lauter::call start(zstring verb, view<part> parts, milliseconds timeout = forever, std::uint64_t cookie = 0,
                           std::uint32_t lane = LAUTER_LANE_MAIN) const {
                lauter_call id = 0;
                detail::call(lauter_call_start, host_, id_, lane, verb.c_str(), parts.data(), parts.size(),
                             std::int64_t{timeout.count()}, cookie, &id);
                return {host_, id};
        }
        /** Open a channel to it: lauter_channel_open(). A window of 0 is 1 MiB. */
        lauter::channel open(zstring name, view<part> parts = {}, std::size_t window = 0,
                             std::uint64_t cookie = 0) const {
                lauter_channel id = 0;
                detail::call(lauter_channel_open, host_, id_, name.c_str(), parts.data(), parts.size(), window, cookie,
                             &id);
                return {host_, id};
        }
        /** A socket that is connected to a port of its own network, the caller's to close: lauter_worker_dial(). */
        int dial(std::uint32_t port, milliseconds timeout = forever) const {
                std::int32_t descriptor = -1;
                detail::call(lauter_worker_dial, host_, id_, port, std::int64_t{timeout.count()}, &descriptor);
                return descriptor;
        }
        /** Likewise, but an event brings it: lauter_worker_dial_start(). */
        void start_dial(std::uint32_t port, milliseconds timeout = forever, std::uint64_t cookie = 0) const {
                detail::call(lauter_worker_dial_start, host_, id_, port, std::int64_t{timeout.count()}, cookie);
        }
        /** A file of its view, the caller's to close: lauter_worker_open(). */
        int open_file(zstring path, std::uint32_t flags, milliseconds timeout = forever) const {
                std::int32_t descriptor = -1;
                detail::call(lauter_worker_open, host_, id_, path.c_str(), flags, std::int64_t{timeout.count()},
                             &descriptor);
                return descriptor;
        }
        /** Likewise, but an event brings it: lauter_worker_open_start(). */
        void start_open_file(zstring path, std::uint32_t flags, milliseconds timeout = forever,
                             std::uint64_t cookie = 0) const {
                detail::call(lauter_worker_open_start, host_, id_, path.c_str(), flags, std::int64_t{timeout.count()},
                             cookie);
        }
        /** The process id of its init: lauter_worker_pid(). */
        std::int32_t pid() const {
                std::int32_t pid = 0;
                detail::call(lauter_worker_pid, host_, id_, &pid);
                return pid;
        }
        /** Send it a signal: lauter_worker_signal(). */
        void signal(std::int32_t number) const { detail::call(lauter_worker_signal, host_, id_, number); }
        /** Write to its standard input: lauter_worker_stdin(). Nothing is written of an empty one. */
        void write(std::string_view bytes) const {
                if (bytes.empty()) return; // In C, none would end the stream.
                detail::call(lauter_worker_stdin, host_, id_, static_cast<const void *>(bytes.data()), bytes.size());
        }
        /** End its standard input; of a terminal, what is being read from it. */
        void end_input() const {
                detail::call(lauter_worker_stdin, host_, id_, static_cast<const void *>(nullptr), std::size_t{0});
        }
        /** Tell its terminal's new size: lauter_worker_resize(). */
        void resize(std::uint32_t rows, std::uint32_t columns) const {
                detail::call(lauter_worker_resize, host_, id_, rows, columns);
        }
        /** Put what runs in its terminal into the foreground or background there: lauter_worker_foreground(). */
        void foreground(bool yes) const { detail::call(lauter_worker_foreground, host_, id_, std::int32_t{yes}); }
        /** Let its processes stand still: lauter_worker_pause(). */
        void pause() const { detail::call(lauter_worker_pause, host_, id_); }
        /** Let them go on: lauter_worker_resume(). */
        void resume() const { detail::call(lauter_worker_resume, host_, id_); }
        /** Ask it to exit, then insist, then kill it: lauter_worker_stop(). */
        void stop(milliseconds ask = std::chrono::seconds(1), milliseconds term = std::chrono::seconds(1)) const {
                detail::call(lauter_worker_stop, host_, id_, std::int64_t{ask.count()}, std::int64_t{term.count()});
        }
        /** Kill it and every process that it ever started: lauter_worker_kill(). */
        void kill() const { detail::call(lauter_worker_kill, host_, id_); }
        /** Sleep until it has ended, and take its EXITED event: lauter_worker_wait_exit(). */
        event wait_exit() const {
                event exited;
                detail::call(lauter_worker_wait_exit, host_, id_, std::int64_t{-1}, exited.get());
                return exited;
        }
        /** Likewise for at most `timeout`; false if it goes on. */
        [[nodiscard]] bool wait_exit(event &exited, milliseconds timeout) const {
                return detail::wait(lauter_worker_wait_exit, host_, id_, std::int64_t{timeout.count()}, exited.get());
        }

      private:
        lauter_host *host_;
        lauter_worker id_;
};

/** Owns workers, their calls and their events: lauter_host_new(). Its end is theirs. */
class host {
      public:
        /** A host without workers. Throws INVALID where the loaded library is of another ABI than this header. */
        host() {
                if (lauter_abi_version() != LAUTER_ABI_VERSION)
                        throw error(LAUTER_ERROR_INVALID,
                                    std::string("the loaded library is ") + lauter_version() +
                                        ", of another ABI than lauter.hpp",
                                    "liblauter");
                owned_ = detail::make<lauter_host>(lauter_host_new);
        }
        /** The descriptor to poll: lauter_host_fd(). */
        int fd() const noexcept { return lauter_host_fd(owned_.get()); }
        /** Sleep until next() has something to do; false if the time was up: lauter_host_wait(). */
        bool wait(milliseconds timeout = forever) const {
                return detail::call(lauter_host_wait, owned_.get(), std::int64_t{timeout.count()}) > 0;
        }
        /** Take the next event, if there is one: lauter_host_next(). */
        [[nodiscard]] bool next(event &event) const {
                return detail::call(lauter_host_next, owned_.get(), event.get()) > 0;
        }
        /** Start a worker: lauter_spawn(). Policy and launch are copied. */
        worker spawn(const policy &policy, const launch &launch, std::uint64_t cookie = 0) const {
                lauter_worker id = 0;
                detail::call(lauter_spawn, owned_.get(), policy.get(), launch.get(), cookie, &id);
                return {owned_.get(), id};
        }
        /** Whose event it is. */
        worker worker_of(const event &event) const noexcept { return {owned_.get(), event.raw().worker}; }
        /** The call that an event belongs to, or that a worker makes (CALL). */
        lauter::call call_of(const event &event) const noexcept { return {owned_.get(), event.raw().call}; }
        /** The channel that an event belongs to, or that a worker opened. */
        lauter::channel channel_of(const event &event) const noexcept { return {owned_.get(), event.raw().channel}; }
        /** The C object, borrowed. */
        lauter_host *get() const noexcept { return owned_.get(); }

      private:
        detail::owner<lauter_host> owned_;
};

} // namespace lauter

#endif
