package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// stopGrace is how long a child may take to end by itself before it is killed. The API server would wait for as long
	// as a client watches, and nothing here is worth waiting for.
	stopGrace = 2 * time.Second
	// logTail is how much of a dead child's log is shown.
	logTail = 4 << 10
)

// spawner starts processes from one operating system thread that lives as long as this process. The kernel sends a
// child its parent-death signal when the THREAD that started it ends, so any other thread would end children at random.
type spawner struct {
	requests chan spawnRequest
}

type spawnRequest struct {
	command *exec.Cmd
	started chan error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawnRequest)}
	go func() {
		runtime.LockOSThread()
		for request := range s.requests {
			request.started <- request.command.Start()
		}
	}()
	return s
}

// start starts a command that dies with this process, however this process dies.
func (s *spawner) start(command *exec.Cmd) error {
	command.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		// Its own group: Ctrl-C in a terminal then reaches this process only, which ends the children in order.
		Setpgid: true,
	}
	request := spawnRequest{command: command, started: make(chan error)}
	s.requests <- request
	return <-request.started
}

// child is one program of the control plane. It can be stopped and started again with the same arguments.
type child struct {
	name string
	path string
	args []string
	// env is its environment; nil is this process's own.
	env     []string
	logPath string
	// running is its newest process, also after that has ended.
	running *process
}

// process is one life of a child.
type process struct {
	child   *child
	command *exec.Cmd
	// exited is closed when the process has ended; waitErr may be read after that.
	exited  chan struct{}
	waitErr error
	// expected says that its end was asked for.
	expected atomic.Bool
}

func newChild(dir, name, path string, args ...string) *child {
	return &child{name: name, path: path, args: args, logPath: filepath.Join(dir, name+".log")}
}

// start runs the program; its output goes to the end of its log. died hears about an end that nobody asked for.
func (c *child) start(spawner *spawner, died chan<- *process) error {
	log, err := os.OpenFile(c.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", c.name, err)
	}
	defer log.Close()
	command := exec.Command(c.path, c.args...)
	command.Env = c.env
	command.Stdout, command.Stderr = log, log
	if err := spawner.start(command); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	p := &process{child: c, command: command, exited: make(chan struct{})}
	c.running = p
	go func() {
		p.waitErr = command.Wait()
		close(p.exited)
		if !p.expected.Load() {
			died <- p
		}
	}()
	return nil
}

func (c *child) isRunning() bool {
	if c.running == nil {
		return false
	}
	select {
	case <-c.running.exited:
		return false
	default:
		return true
	}
}

// stop ends the program: first politely, after stopGrace for good. It returns once the process is gone.
func (c *child) stop() {
	if c.running == nil {
		return
	}
	c.running.expected.Store(true)
	// An error says that the process has ended already, which is what is wanted.
	_ = c.running.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.running.exited:
	case <-time.After(stopGrace):
		c.kill()
	}
}

// kill ends the program without asking, as a crash would.
func (c *child) kill() {
	if c.running == nil {
		return
	}
	c.running.expected.Store(true)
	_ = c.running.command.Process.Kill()
	<-c.running.exited
}

// deathError says that a child ended that should not have.
type deathError struct {
	process *process
}

// Error tells how the process ended, with the end of its log.
func (e *deathError) Error() string {
	p := e.process
	state := "without an error"
	if p.waitErr != nil {
		state = p.waitErr.Error()
	}
	text, err := os.ReadFile(p.child.logPath)
	if err != nil {
		text = []byte(err.Error())
	}
	if len(text) > logTail {
		text = text[len(text)-logTail:]
		if _, rest, found := bytes.Cut(text, []byte("\n")); found {
			text = rest
		}
	}
	return fmt.Sprintf("%s ended (%s); the end of %s:\n%s", p.child.name, state, p.child.logPath, text)
}
