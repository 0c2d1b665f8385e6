package rearhost

import (
	"context"
	"errors"
	"io"

	"github.com/neosofia/runner/builtins/internal/client/host"
)

// machine is a host as the client of ReaR wants it.
type machine struct{ host.Host }

func (m machine) Run(ctx context.Context, args []string, stdin io.Reader) (exit int, signal string, stdout, stderr []byte, err error) {
	r, err := m.Host.Run(ctx, host.Command{Args: args, Stdin: stdin})
	var killed *host.KilledError
	switch {
	case errors.Is(err, host.ErrNoProgram):
		return 127, "", r.Stdout, r.Stderr, nil
	case errors.As(err, &killed):
		return r.Exit, killed.Signal, r.Stdout, r.Stderr, nil
	}
	return r.Exit, "", r.Stdout, r.Stderr, err
}

func (m machine) Read(ctx context.Context, file string, limit int64) ([]byte, error) {
	return host.ReadFile(ctx, m.Host, file, limit)
}
