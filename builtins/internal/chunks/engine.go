package chunks

import (
	"context"
	"time"

	"github.com/neosofia/runner/builtins/internal/engine"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

// Kind is the kind of a login that opens a repository; Password is its only option.
const (
	Kind     = target.ChunksKind
	Password = target.ChunksPassword
)

// Serve opens the repository of a configuration for a process of its own, and makes it where there is none
// in the folder.
func Serve(ctx context.Context, cfg engine.Config, now func() time.Time) (engine.Engine, error) {
	o := Options{Folder: "/" + cfg.Root, Password: cfg.Login.Options[Password], Target: cfg.Target, Write: !cfg.Read, Now: now}
	r, err := Open(ctx, o)
	if failure.Is(err, target.CodeNotFound) && o.Write {
		if err = Create(ctx, o); err == nil {
			r, err = Open(ctx, o)
		}
	}
	if err != nil {
		return nil, err
	}
	return &served{r}, nil
}

// served is a Repository as an engine.
type served struct{ *Repository }

var (
	_ engine.Engine     = (*served)(nil)
	_ engine.Maintainer = (*served)(nil)
	_ engine.Packer     = (*served)(nil)
)

// Facts implements engine.Engine.
func (s *served) Facts() engine.Facts { return engine.Facts{Rename: true} }

// Sum implements engine.Engine: there is no digest but by reading.
func (s *served) Sum(context.Context, string) (string, error) { return "", nil }

// Close implements engine.Engine.
func (s *served) Close() error { return s.Repository.Close(context.Background()) }
