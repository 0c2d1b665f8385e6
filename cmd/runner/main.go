// Command runner executes backup and recovery procedures as code.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/neosofia/runner/builtins/site"

	"github.com/neosofia/runner/cmd/runner/internal/heap"
	_ "github.com/neosofia/runner/cmd/runner/internal/noconfig"
	_ "github.com/neosofia/runner/cmd/runner/internal/nodbus"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// version is set by the build.
var version = "dev"

// Exit codes: the README lists them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitDegraded    = 3
	exitRefused     = 4
	exitLimit       = 5
	exitBusy        = 6
	exitTemporary   = 75
	exitInterrupted = 130
)

func main() {
	heap.Collect()
	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE) // a reader that went away does not stop a backup
	go func() {
		<-signals
		fmt.Fprintln(os.Stderr, "runner: stopping; what has ended is recorded")
		stop(runtime.ErrInterrupted)
		<-signals
		giveBack()
		os.Exit(exitInterrupted)
	}()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	root := rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var done *exit
	if !errors.As(err, &done) || done.err != nil {
		fmt.Fprintln(os.Stderr, fitted("runner: "+plain(message(err)), os.Stderr))
	}
	return codeOf(err)
}

// exit ends the program with a code; a nil err means that all has been said.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &exit{exitUsage, fmt.Errorf(format, args...)} }

func message(err error) string {
	var t interface{ Details() string } // a runtime.Trace, or all that is wrong with a site
	if errors.As(err, &t) {
		return t.Details()
	}
	return err.Error()
}

// codeOf maps an error to the code that the program ends with.
func codeOf(err error) int {
	var done *exit
	var busy *runtime.BusyError
	var own *failure.Error
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &done):
		return done.code
	case errors.As(err, &busy):
		return exitBusy
	case errors.Is(err, runtime.ErrInterrupted):
		return exitInterrupted
	case errors.As(err, &own) && own.Code == failure.Limit:
		return exitLimit
	case errors.As(err, new(*site.Faults)):
		return exitRefused
	case errors.As(err, &own) && own.Code == failure.Refused:
		return exitRefused
	case errors.As(err, &own) && own.Temporary:
		return exitTemporary
	}
	return exitFailed
}

// codeOfRun maps the outcome of a run.
func codeOfRun(o *runtime.Outcome) int {
	switch o.Result {
	case ledger.OK:
		return exitOK
	case ledger.DegradedRun:
		return exitDegraded
	case ledger.Interrupted:
		return exitInterrupted
	}
	if o.Err != nil {
		return codeOf(o.Err)
	}
	return exitFailed
}
