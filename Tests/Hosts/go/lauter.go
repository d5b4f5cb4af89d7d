// SPDX-License-Identifier: Apache-2.0

package main

/*
#include <lauter.h>
#include <stdlib.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// Event is what Go keeps of a lauter_event: plain values, nothing borrowed.
type Event struct {
	Status int
	Name   string // of a failure: "KeyboardInterrupt"
	Text   string // the first part
	Why    string // the error's message, or the report's
}

// Host runs workers; a goroutine of its own waits for them in Go's netpoller, without a thread.
type Host struct {
	raw     *C.lauter_host
	file    *os.File // a duplicate of the host's descriptor: Go's poller wants one that it may close
	stopped chan struct{}

	lock    sync.Mutex
	cookies uint64
	waiting map[uint64]chan Event // by cookie: calls and ends of workers
	printed map[uint64]string
	shown   int // bytes of displays
}

// Worker is a worker of one host.
type Worker struct {
	host   *Host
	id     C.lauter_worker
	cookie uint64
	End    chan Event
}

// Call is a call in flight; its Event comes on Done.
type Call struct {
	host *Host
	id   C.lauter_call
	Done chan Event
}

// check turns a code and an error of the library's into one of Go's.
func check(code C.int32_t, failure **C.lauter_error) error {
	if code >= 0 {
		return nil
	}
	err := *failure // read only now: Go does not say whether an argument is read before the call beside it
	defer C.lauter_error_free(err)
	if code == C.LAUTER_ERROR_INTERRUPTED {
		return syscall.EINTR
	}
	return fmt.Errorf("%s: %s", C.GoString(C.lauter_code_name(code)), C.GoString(C.lauter_error_message(err)))
}

// newSilentHost makes a host whose events nobody takes: for calls that are waited for.
func newSilentHost() (*Host, error) {
	h := &Host{waiting: map[uint64]chan Event{}, printed: map[uint64]string{}, stopped: make(chan struct{})}
	var e *C.lauter_error
	return h, check(C.lauter_host_new(&h.raw, &e), &e)
}

// NewHost makes a host and waits for its workers in a goroutine.
// begin: loop
func NewHost() (*Host, error) {
	h, err := newSilentHost()
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Dup(int(C.lauter_host_fd(h.raw)))
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	syscall.SetNonblock(fd, true) // or os.NewFile would not hand it to the poller
	h.file = os.NewFile(uintptr(fd), "lauter")
	go h.run()
	return h, nil
}

func (h *Host) run() {
	defer close(h.stopped)
	connection, _ := h.file.SyscallConn()
	event := C.lauter_event{size: C.sizeof_lauter_event}
	defer C.lauter_event_clear(&event)
	// Go's poller is edge-triggered: before sleeping, take until there is nothing, and ask whether that is still so.
	connection.Read(func(uintptr) bool {
		for {
			for C.lauter_host_next(h.raw, &event, nil) > 0 {
				h.take(&event)
			}
			if C.lauter_host_wait(h.raw, 0, nil) == 0 {
				return false
			}
		}
	})
}

// end: loop

// Close ends every worker.
func (h *Host) Close() {
	if h.file != nil {
		h.file.Close() // ends run
		<-h.stopped
	}
	C.lauter_host_free(h.raw)
}

func (h *Host) take(event *C.lauter_event) {
	parts := unsafe.Slice(event.parts, event.part_count)
	text := ""
	if len(parts) > 0 {
		text = C.GoStringN((*C.char)(parts[0].data), C.int(parts[0].size))
	}
	h.lock.Lock()
	defer h.lock.Unlock()
	switch event.kind {
	case C.LAUTER_EVENT_STREAM:
		h.printed[uint64(event.worker_cookie)] += text
	case C.LAUTER_EVENT_OUTPUT:
		for _, part := range parts {
			h.shown += int(part.size)
		}
	case C.LAUTER_EVENT_CALL:
		part, free := newPart("text/plain", "Ada")
		C.lauter_call_reply(h.raw, event.call, part, 1, nil)
		free()
	case C.LAUTER_EVENT_DONE:
		h.settle(uint64(event.call_cookie), Event{
			Status: int(event.status),
			Name:   C.GoString(event.name),
			Text:   text,
			Why:    C.GoString(C.lauter_error_message(event.error)),
		})
	case C.LAUTER_EVENT_EXITED:
		h.settle(uint64(event.worker_cookie), Event{
			Status: int(event.report.reason),
			Why:    C.GoString(event.report.why),
		})
	}
}

func (h *Host) settle(cookie uint64, event Event) {
	h.waiting[cookie] <- event
	delete(h.waiting, cookie)
}

// expect makes the cookie *before* the call or worker: its event may come before its id does.
func (h *Host) expect() (uint64, chan Event) {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.cookies++
	h.waiting[h.cookies] = make(chan Event, 1)
	return h.cookies, h.waiting[h.cookies]
}

func (h *Host) forget(cookie uint64) {
	h.lock.Lock()
	delete(h.waiting, cookie)
	h.lock.Unlock()
}

// Printed is what a worker has printed so far, and Shown the bytes of all displays.
func (h *Host) Printed(w *Worker) string {
	h.lock.Lock()
	defer h.lock.Unlock()
	return h.printed[w.cookie]
}

func (h *Host) Shown() int {
	h.lock.Lock()
	defer h.lock.Unlock()
	return h.shown
}

// Spawn starts a Python worker under the preset "notebook".
func (h *Host) Spawn(interpreter string) (*Worker, error) {
	var e *C.lauter_error
	var policy *C.lauter_policy
	var launch *C.lauter_launch
	word := func(s string) *C.char { return C.CString(s) }
	texts := []*C.char{word("notebook"), word("python"), word("interpreter"), word(interpreter)}
	defer func() {
		C.lauter_launch_free(launch)
		C.lauter_policy_free(policy)
		for _, text := range texts {
			C.free(unsafe.Pointer(text))
		}
	}()
	if err := check(C.lauter_policy_new(texts[0], &policy, &e), &e); err != nil {
		return nil, err
	}
	if err := check(C.lauter_launch_new(texts[1], &launch, &e), &e); err != nil {
		return nil, err
	}
	if err := check(C.lauter_launch_set(launch, texts[2], texts[3], &e), &e); err != nil {
		return nil, err
	}
	w := &Worker{host: h}
	w.cookie, w.End = h.expect()
	if err := check(C.lauter_spawn(h.raw, policy, launch, C.uint64_t(w.cookie), &w.id, &e), &e); err != nil {
		h.forget(w.cookie)
		return nil, err
	}
	return w, nil
}

// Start begins a call, from any goroutine.
func (w *Worker) Start(source string) (*Call, error) {
	var e *C.lauter_error
	call := &Call{host: w.host}
	cookie, done := w.host.expect()
	call.Done = done
	verb := C.CString("execute")
	defer C.free(unsafe.Pointer(verb))
	part, free := newPart("text/x-python", source)
	defer free()
	code := C.lauter_call_start(w.host.raw, w.id, C.LAUTER_LANE_MAIN, verb, part, 1, -1, C.uint64_t(cookie), &call.id, &e)
	if err := check(code, &e); err != nil {
		w.host.forget(cookie)
		return nil, err
	}
	return call, nil
}

// newPart lies in C's memory: what is handed to C may not point into Go's.
func newPart(kind, text string) (*C.lauter_part, func()) {
	part := (*C.lauter_part)(C.malloc(C.sizeof_lauter_part))
	*part = C.lauter_part{_type: C.CString(kind), data: unsafe.Pointer(C.CString(text)), size: C.size_t(len(text))}
	return part, func() {
		C.free(unsafe.Pointer(part._type))
		C.free(unsafe.Pointer(part.data))
		C.free(unsafe.Pointer(part))
	}
}

// Wait sleeps in C for the result of a call, with the thread that the goroutine has; it counts how often a signal of Go's
// own or of the program's cut that short. For hosts that nothing else takes events from.
func (c *Call) Wait() (string, int, error) {
	event := C.lauter_event{size: C.sizeof_lauter_event}
	defer C.lauter_event_clear(&event)
	for interrupted := 0; ; interrupted++ {
		var e *C.lauter_error
		err := check(C.lauter_call_wait(c.host.raw, c.id, -1, &event, &e), &e)
		if err == nil {
			part := unsafe.Slice(event.parts, event.part_count)[0]
			return C.GoStringN((*C.char)(part.data), C.int(part.size)), interrupted, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return "", interrupted, err
		}
	}
}

// Execute runs source and waits for its result.
func (w *Worker) Execute(source string) (Event, error) {
	call, err := w.Start(source)
	if err != nil {
		return Event{}, err
	}
	event := <-call.Done
	if event.Status != C.LAUTER_OK {
		return event, errors.New(event.Name + event.Why)
	}
	return event, nil
}

// Interrupt hits this call or nothing.
func (c *Call) Interrupt() error {
	var e *C.lauter_error
	return check(C.lauter_call_interrupt(c.host.raw, c.id, &e), &e)
}

// Kill ends a worker and everything that it started.
func (w *Worker) Kill() error {
	var e *C.lauter_error
	return check(C.lauter_worker_kill(w.host.raw, w.id, &e), &e)
}

// Stop asks first.
func (w *Worker) Stop() error {
	var e *C.lauter_error
	return check(C.lauter_worker_stop(w.host.raw, w.id, 5000, 1000, &e), &e)
}
