package host

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Programs plays the programs of a machine: it returns an exit status, or ErrNoProgram.
type Programs func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (exit int, err error)

// played is a machine whose programs are played by somebody else.
type played struct {
	Host
	programs Programs
}

// Played is h with other programs.
func Played(h Host, p Programs) Host { return played{h, p} }

func (p played) Run(ctx context.Context, c Command) (Result, error) {
	s := streamsOf(c)
	exit, err := p.programs(ctx, c.Args, c.Stdin, s.out, s.err)
	switch {
	case ctx.Err() != nil:
		return Result{}, context.Cause(ctx)
	case s.full():
		return Result{}, fmt.Errorf("run %s: %w", c.Args[0], ErrTooMuch)
	case errors.Is(err, ErrNoProgram):
		return Result{}, fmt.Errorf("run %s: %w", c.Args[0], ErrNoProgram)
	case err != nil:
		return Result{}, fmt.Errorf("run %s: %w", c.Args[0], err)
	}
	return s.result(exit), nil
}
