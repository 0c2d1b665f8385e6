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
	"github.com/neosofia/runner/runtime"
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

// open finds the engine of a configuration.
func open(ctx context.Context, cfg engine.Config, keep engine.Keep) (engine.Engine, error) {
	if cfg.Login.Kind == chunks.Kind {
		return chunks.Serve(ctx, cfg, runtime.RealClock{}.Now)
	}
	return cloud.Open(ctx, cfg, keep, runtime.RealClock{}.Now)
}

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
