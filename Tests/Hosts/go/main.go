// SPDX-License-Identifier: Apache-2.0

// A guest of Lauter's in Go: sandboxed workers, driven from Go's own netpoller, beside children, signals, preemption and
// garbage of the program's own. It prints what it saw as JSON; test_go.py judges it.
//
//	guest PYTHON TOKEN
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	quietWorkers = 10
	workers      = 3
	calls        = 200
	children     = 60
	signals      = 100
)

type facts = map[string]any

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func milliseconds(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }

// ownChildren are the children that the kernel counts as this process's.
func ownChildren() []string {
	found := []string{}
	for _, path := range must(filepath.Glob("/proc/self/task/*/children")) {
		text, _ := os.ReadFile(path) // a thread may have ended
		found = append(found, strings.Fields(string(text))...)
	}
	return found
}

// quiet starts and ends workers while the program has no child: neither a child nor a SIGCHLD may show up.
func quiet(host *Host, python string, childSignals *int64) facts {
	strangers := 0
	var started []*Worker
	for i := 0; i < quietWorkers; i++ {
		started = append(started, must(host.Spawn(python)))
	}
	for _, worker := range started {
		must(worker.Execute("6 * 7"))
		strangers += len(ownChildren())
		must(0, worker.Kill())
		<-worker.End
		strangers += len(ownChildren())
	}
	found := facts{"workers": quietWorkers, "strangers": strangers, "sigchld": atomic.LoadInt64(childSignals)}
	child := exec.Command("cat") // until its input ends
	input := must(child.StdinPipe())
	must(0, child.Start())
	found["children_seen"] = len(ownChildren())
	input.Close()
	must(0, child.Wait())
	for end := time.Now().Add(10 * time.Second); atomic.LoadInt64(childSignals) == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	found["sigchld_seen"] = atomic.LoadInt64(childSignals)
	return found
}

// runCalls runs calls on one worker, all at once, and counts the right answers.
func runCalls(worker *Worker) (right int) {
	var started []*Call
	for i := 0; i < calls; i++ {
		started = append(started, must(worker.Start(fmt.Sprintf("print(%d); %d * 3", i, i))))
	}
	for i, call := range started {
		if event := <-call.Done; event.Status == 0 && event.Text == fmt.Sprint(i*3) {
			right++
		}
	}
	return right
}

func runChildren() (right int) {
	for i := 0; i < children; i++ {
		output, err := exec.Command("sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i%8)).Output()
		code := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		if string(output) == fmt.Sprintln(i) && code == i%8 {
			right++
		}
	}
	return right
}

func runSignals(arrived chan os.Signal) (handled int) {
	for i := 0; i < signals; i++ {
		must(0, syscall.Kill(os.Getpid(), syscall.SIGUSR2))
		select {
		case <-arrived:
			handled++
		case <-time.After(10 * time.Second):
		}
	}
	return handled
}

// ticks measures how late the runtime serves a timer, until it is told to stop.
func ticks(stop chan struct{}) facts {
	late := []float64{}
	for {
		begun := time.Now()
		select {
		case <-stop:
			sort.Float64s(late)
			return facts{"count": len(late), "median_ms": late[len(late)/2], "longest_ms": late[len(late)-1]}
		case <-time.After(5 * time.Millisecond):
			late = append(late, milliseconds(begun)-5)
		}
	}
}

// churn keeps a thread in Go code without a call, so that the runtime preempts it by SIGURG, and makes garbage.
func churn(stop *int32) {
	for atomic.LoadInt32(stop) == 0 {
		sum := 0
		for i := 0; i < 20_000_000; i++ {
			sum += i
		}
		runtime.KeepAlive(make([]byte, 1<<20+sum&1))
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
}

// blocking waits for a call in C while signals hit that very thread.
func blocking(python string) facts {
	host := must(newSilentHost())
	defer host.Close()
	worker := must(host.Spawn(python))
	call := must(worker.Start("import time; time.sleep(0.3); 'slept'"))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread, done := syscall.Gettid(), make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				syscall.Syscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), uintptr(thread), uintptr(syscall.SIGURG))
			}
		}
	}()
	text, interrupted, err := call.Wait()
	close(done)
	must(0, err)
	return facts{"text": text, "interrupted": interrupted}
}

func main() {
	python, token := os.Args[1], os.Args[2]
	childSignals, usr2, chld := int64(0), make(chan os.Signal, 16), make(chan os.Signal, 1024)
	signal.Notify(usr2, syscall.SIGUSR2)
	signal.Notify(chld, syscall.SIGCHLD)
	go func() {
		for range chld {
			atomic.AddInt64(&childSignals, 1)
		}
	}()

	host := must(NewHost())
	found := facts{"guest": "Go " + strings.TrimPrefix(runtime.Version(), "go"), "quiet": quiet(host, python, &childSignals)}

	_, refusal := host.Spawn("/nowhere/python3")
	found["refused"] = refusal.Error()

	// The storm: calls on all workers, with children, signals, timers and the collector going on.
	var started []*Worker
	for i := 0; i < workers; i++ {
		started = append(started, must(host.Spawn(python)))
	}
	must(started[0].Execute(fmt.Sprintf("import subprocess; p = subprocess.Popen(['sh', '-c', 'sleep 300; : %s'])", token)))
	var right, childrenRight, handled int64
	var all sync.WaitGroup
	together := func(work func()) { all.Add(1); go func() { defer all.Done(); work() }() }
	stopTicks, stopChurn, ticked := make(chan struct{}), int32(0), make(chan facts)
	go func() { ticked <- ticks(stopTicks) }()
	go churn(&stopChurn)
	for _, worker := range started {
		worker := worker
		together(func() { atomic.AddInt64(&right, int64(runCalls(worker))) })
	}
	together(func() { childrenRight = int64(runChildren()) })
	together(func() { handled = int64(runSignals(usr2)) })
	all.Wait()
	atomic.StoreInt32(&stopChurn, 1)
	close(stopTicks)
	found["tick"] = <-ticked
	found["calls"], found["calls_right"] = workers*calls, right
	found["children"], found["children_right"] = children, childrenRight
	found["signals"], found["signals_handled"] = signals, handled
	found["printed_in_order"] = printedInOrder(host, started)

	must(started[1].Execute("class Big:\n  def _repr_html_(self): return 'x' * 8_000_000\ndisplay(Big())"))
	found["shown"] = host.Shown()
	found["input"] = must(started[1].Execute("'hello ' + input('who? ')")).Text

	endless := must(started[1].Start("print('on'); \nwhile True: pass"))
	for end := time.Now().Add(10 * time.Second); !strings.HasSuffix(host.Printed(started[1]), "on\n") && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	begun := time.Now()
	must(0, endless.Interrupt())
	event := <-endless.Done
	found["interrupt"] = facts{"name": event.Name, "ms": milliseconds(begun), "after": must(started[1].Execute("6 * 7")).Text}

	lost := must(started[0].Start("while True: pass"))
	begun = time.Now()
	must(0, started[0].Kill())
	event = <-lost.Done
	found["killed"] = facts{"status": event.Status, "ms": milliseconds(begun), "why": event.Why}
	for _, worker := range started[1:] {
		must(0, worker.Stop())
	}
	ends := []int{}
	for _, worker := range started {
		ends = append(ends, (<-worker.End).Status)
	}
	found["ends"] = ends
	host.Close()
	found["beside"] = facts{"blocking": blocking(python), "threads": len(must(os.ReadDir("/proc/self/task")))}
	json.NewEncoder(os.Stdout).Encode(found)
}

func printedInOrder(host *Host, started []*Worker) bool {
	var wanted strings.Builder
	for i := 0; i < calls; i++ {
		fmt.Fprintln(&wanted, i)
	}
	for _, worker := range started {
		if host.Printed(worker) != wanted.String() {
			return false
		}
	}
	return true
}
