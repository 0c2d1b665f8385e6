package ssh

import (
	"context"
	"io"

	"golang.org/x/crypto/ssh"
)

// Run runs a line of the account's shell to its end. Its errors are those of
// golang.org/x/crypto/ssh: *ssh.ExitError for a status or signal. When ctx ends
// the program gets SIGTERM, and the session is closed.
func (s *Session) Run(ctx context.Context, line string, in io.Reader, out, errs io.Writer) error {
	session, err := s.conn.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	session.Stdin, session.Stdout, session.Stderr = in, out, errs
	if err := session.Start(line); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- session.Wait() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		_ = session.Signal(ssh.SIGTERM) // some servers do not know it; closing ends it too
		session.Close()
		return context.Cause(ctx)
	}
}
