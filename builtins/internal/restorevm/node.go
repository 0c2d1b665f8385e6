package restorevm

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/builtins/internal/systems"
)

// nodeFiles are the files of a node: here when runner is on it, else over SFTP.
type nodeFiles struct {
	root    string
	session *ssh.Session // nil: here
	stop    func() bool
}

func reach(ctx context.Context, w *systems.Systems, system, node string) (*nodeFiles, error) {
	if w.OnNode(system, node) {
		return &nodeFiles{root: w.Env.Root}, nil
	}
	sys, err := w.Site.System(system)
	if err != nil {
		return nil, err
	}
	session, err := w.Node(ctx, sys, node)
	if err != nil {
		return nil, err
	}
	return &nodeFiles{session: session, stop: context.AfterFunc(ctx, func() { session.Close() })}, nil
}

// Close ends the session.
func (n *nodeFiles) Close() {
	if n.session != nil {
		n.stop()
		n.session.Close()
	}
}

// why names what ended the connection, where something did.
func (n *nodeFiles) why(err error) error {
	if n.session != nil {
		return n.session.Why(err)
	}
	return err
}

// write makes a new file; one that is there is never overwritten.
func (n *nodeFiles) write(path string, r io.Reader) error {
	const flags = os.O_CREATE | os.O_EXCL | os.O_WRONLY
	var f io.WriteCloser
	var err error
	if n.session != nil {
		f, err = n.session.OpenFile(path, flags)
	} else {
		f, err = os.OpenFile(filepath.Join(n.root, path), flags, 0o600)
	}
	if err != nil {
		return n.why(err)
	}
	_, err = ssh.Copy(f, r)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return n.why(err)
}

// read returns a small file.
func (n *nodeFiles) read(path string) (string, error) {
	var f io.ReadCloser
	var err error
	if n.session != nil {
		f, err = n.session.Open(path)
	} else {
		f, err = os.Open(filepath.Join(n.root, path))
	}
	if err != nil {
		return "", n.why(err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, 64<<10))
	return string(raw), n.why(err)
}

func (n *nodeFiles) there(path string) (bool, error) {
	var err error
	if n.session != nil {
		_, err = n.session.Lstat(path)
	} else {
		_, err = os.Lstat(filepath.Join(n.root, path))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, n.why(err)
}

func (n *nodeFiles) remove(path string) error {
	if n.session != nil {
		return n.why(n.session.Remove(path))
	}
	return os.Remove(filepath.Join(n.root, path))
}
