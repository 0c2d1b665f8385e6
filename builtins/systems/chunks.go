package systems

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/neosofia/runner/builtins/internal/chunks"
	"github.com/neosofia/runner/builtins/internal/decoded"
	"github.com/neosofia/runner/builtins/internal/engine"
	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/runtime/failure"
)

// ChunksEngine names the engine of repositories of chunks.
const ChunksEngine = "chunks"

// decodeSpool bounds what an archive whose disks are interleaved keeps aside while it is
// decoded, in bytes.
const decodeSpool = 8 << 30

// chunksCodes are those that the engine of a repository may raise.
var chunksCodes = []failure.Code{target.CodeFull, target.CodeReadOnly, target.CodeDown, target.CodeDenied, target.CodeFailed,
	target.CodeDamaged, target.CodeNotFound, target.CodeBadTarget, target.CodeMediaAbsent, chunks.CodeBusy}

// repositories are those that are open: the branches of a run share one, since only one
// process writes to a repository at a time.
type repositories struct {
	mu   sync.Mutex
	open map[string]*shared
}

type shared struct {
	child *engine.Child
	users int
}

// chunks gives the way to the repository of a target, for target.Env.
func (w *Systems) chunks(t *site.Target) func(ctx context.Context, name, folder string) (store.Store, target.Capabilities, error) {
	if t.Layout != target.LayoutChunks {
		return nil
	}
	return func(ctx context.Context, name, folder string) (store.Store, target.Capabilities, error) {
		if err := os.MkdirAll(w.Env.Spool, 0o700); err != nil { // archives are decoded through it
			return nil, target.Capabilities{}, fmt.Errorf("make the spool: %w", err)
		}
		w.repos.mu.Lock()
		defer w.repos.mu.Unlock()
		s := w.repos.open[folder]
		if s == nil || s.child.Ended() {
			child, err := w.startChunks(ctx, t, folder)
			if err != nil {
				return nil, target.Capabilities{}, err
			}
			s = &shared{child: child}
			w.repos.open[folder] = s
		}
		s.users++
		var once sync.Once
		return s.child, target.Capabilities{Maintain: s.child.Maintain, Close: func() (err error) {
			once.Do(func() { err = w.repos.leave(folder, s) })
			return err
		}}, nil
	}
}

func (w *Systems) startChunks(ctx context.Context, t *site.Target, folder string) (*engine.Child, error) {
	password, err := w.Secret(ctx, t.Password)
	if err != nil {
		return nil, err
	}
	defer clear(password)
	return chunksChild(ctx, t.Name, folder, map[string]string{"password": string(trimmed(password)), ChunksWrite: "yes"})
}

// ChunksWrite is the option of an engine of chunks that writes.
const ChunksWrite = "write"

func chunksChild(ctx context.Context, name, folder string, options map[string]string) (*engine.Child, error) {
	return engine.Start(ctx, engine.Parent{System: "target " + name, Codes: chunksCodes}, engine.Config{Kind: ChunksEngine, Target: name,
		Root: folder, Local: true, Login: engine.Login{Kind: ChunksEngine, Options: options}})
}

// ReadChunks opens a repository of which no site knows, to read it. It is Env.Chunks of
// package target.
func ReadChunks(password func(ctx context.Context) ([]byte, error)) func(ctx context.Context, name, folder string) (store.Store,
	target.Capabilities, error) {
	return func(ctx context.Context, name, folder string) (store.Store, target.Capabilities, error) {
		secret, err := password(ctx)
		if err != nil {
			return nil, target.Capabilities{}, err
		}
		defer clear(secret)
		child, err := chunksChild(ctx, name, folder, map[string]string{"password": string(trimmed(secret))})
		if err != nil {
			return nil, target.Capabilities{}, err
		}
		return child, target.Capabilities{Close: child.Close}, nil
	}
}

// Archives makes archives again out of what is in them.
func Archives(dir string) target.Decoder { return decoded.Decoder{Dir: dir, Limit: decodeSpool} }

// leave ends the engine with its last user.
func (r *repositories) leave(folder string, s *shared) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.users--; s.users > 0 {
		return nil
	}
	if r.open[folder] == s {
		delete(r.open, folder)
	}
	return s.child.Close()
}

// decoder keeps archives of guests as what is in them.
func (w *Systems) decoder() target.Decoder {
	return decoded.Decoder{Dir: w.Env.Spool, Limit: decodeSpool}
}
