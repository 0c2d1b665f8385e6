// Package cloudstore is what people do with cloud stores beside copying: they log in,
// bring a login of rclone along, and look at what an account is. It is also the entrance
// of the processes that speak with such stores.
package cloudstore

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/neosofia/runner/builtins/internal/chunks"
	"github.com/neosofia/runner/builtins/internal/cloud"
	"github.com/neosofia/runner/builtins/internal/engine"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/failure"
)

// EngineVerb is the argument by which this program becomes the process that speaks with
// one store.
const EngineVerb = engine.Verb

// Engine is that process; it returns the code to end with.
func Engine() int {
	if err := engine.Main(open); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// open opens what a configuration names.
func open(ctx context.Context, cfg engine.Config, keep engine.Keep) (engine.Engine, error) {
	if cfg.Kind == systems.ChunksEngine {
		return openChunks(ctx, cfg)
	}
	return cloud.Open(ctx, cfg, keep)
}

// openChunks opens a repository of chunks, and makes it where there is none.
func openChunks(ctx context.Context, cfg engine.Config) (engine.Engine, error) {
	o := chunks.Options{Folder: cfg.Root, Password: cfg.Login.Options["password"], Target: cfg.Target,
		Write: cfg.Login.Options[systems.ChunksWrite] != "", Now: time.Now}
	r, err := chunks.Open(ctx, o)
	if failure.Is(err, target.CodeNotFound) && o.Write {
		if err = chunks.Create(ctx, o); err == nil {
			r, err = chunks.Open(ctx, o)
		}
	}
	if err != nil {
		return nil, err
	}
	return repository{r}, nil
}

// repository is a repository of chunks as an engine.
type repository struct{ *chunks.Repository }

func (repository) Facts() engine.Facts { return engine.Facts{Rename: true} }

func (repository) Sum(context.Context, string) (string, error) { return "", nil }

func (r repository) Close() error { return r.Repository.Close(context.Background()) }

// Login is what a store wants to know of us: the value of a secret.
type Login = engine.Login

// World is how stores are reached while people log in.
type World struct {
	Dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	Roots []byte // PEM; none: the system's
}

// client is an HTTP client of the world.
func (w World) client() (*http.Client, error) {
	cfg, err := tlsConfig(w.Roots)
	if err != nil {
		return nil, err
	}
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: w.Dial,
		TLSClientConfig: cfg, ForceAttemptHTTP2: true}}, nil
}

// Import takes a remote out of an rclone.conf.
func Import(r io.Reader, remote string) (Login, error) { return cloud.Import(r, remote) }

// Parse reads the value of a secret.
func Parse(b []byte) (Login, error) { return engine.ParseLogin(b) }
