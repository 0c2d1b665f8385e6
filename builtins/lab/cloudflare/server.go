package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/neosofia/runner/builtins/lab/fault"
	"github.com/neosofia/runner/builtins/lab/internal/serve"
)

// Config is what a Server is opened with.
type Config struct {
	Dir    string // its state; made when it is missing
	Token  string // the API token of a new state, which may read everything
	Faults *fault.Set
	Now    func() time.Time
	Sleep  func(context.Context, time.Duration) error
}

// Server is one Cloudflare.
type Server struct {
	cfg    Config
	schema *api
	state  state

	mu     sync.Mutex
	window time.Time // when the requests below began to be counted
	count  int
	asked  int // requests of lists: total_count of a fault grows with it
}

// Limits of the vendor: requests of one token in a window.
const (
	perWindow = 1200
	window    = 5 * time.Minute
	base      = "/client/v4"
)

// Open opens the state, and makes it when it is not there.
func Open(cfg Config) (*Server, error) {
	s, err := Attach(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.create(); err != nil {
		return nil, fmt.Errorf("make the lab's Cloudflare: %w", err)
	}
	return s, nil
}

// Attach opens a state that another process has made and serves.
func Attach(cfg Config) (*Server, error) {
	sch, err := readSchema()
	if err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, schema: sch, state: state{dir: cfg.Dir, cached: map[string]cached{}}}, nil
}

// Serve answers requests on every connection of the listener, which speaks TLS
// already, until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return serve.HTTP(ctx, l, s)
}

// failure is an error in the vendor's envelope.
type failure struct {
	status, code int
	text         string
	bare         bool // errors: ["text"]
	retry        string
}

func (f *failure) Error() string { return f.text }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, base)
	if !ok {
		s.fail(w, &failure{status: 404, code: 7003, text: "Could not route to " + r.URL.Path + ", perhaps your object identifier is invalid?"})
		return
	}
	due, err := s.cfg.Faults.Due(r.Method+" "+rest, deeds...)
	if err != nil {
		s.fail(w, &failure{status: 500, code: 10000, text: err.Error()})
		return
	}
	q := &request{Request: r, path: path.Clean(rest), due: due}
	s.rate(w, q)
	if err := s.before(w, q); err != nil {
		s.fail(w, err)
		return
	}
	s.answer(w, q)
}

// request is one request with the faults that are due for it.
type request struct {
	*http.Request
	path     string
	template string
	vars     map[string]string
	due      []fault.Deed
	over     bool // the rate limit is used up
}

func (q *request) deed(name string) (fault.Deed, bool) {
	for _, d := range q.due {
		if d.Name == name {
			return d, true
		}
	}
	return fault.Deed{}, false
}

// rate counts the request and writes the headers that every answer has.
func (s *Server) rate(w http.ResponseWriter, q *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	if now.Sub(s.window) >= window {
		s.window, s.count = now, 0
	}
	s.count++
	left := max(0, perWindow-s.count)
	q.over = s.count > perWindow
	if d, ok := q.deed("remaining"); ok {
		if _, err := fmt.Sscan(d.Args, &left); err != nil {
			left = 0
		}
	}
	reset := int((window - now.Sub(s.window)).Seconds()) + 1
	w.Header().Set("Ratelimit", fmt.Sprintf(`"default";r=%d;t=%d`, left, reset))
	w.Header().Set("Ratelimit-Policy", fmt.Sprintf(`"default";q=%d;w=%d`, perWindow, int(window.Seconds())))
	w.Header().Set("Cf-Ray", "0000000000000000-LAB")
	if q.over {
		w.Header().Set("Retry-After", fmt.Sprint(reset))
	}
}

// answer finds the endpoint and answers.
func (s *Server) answer(w http.ResponseWriter, q *request) {
	q.template, q.vars = s.schema.find(q.path)
	e := s.schema.Paths[q.template]
	if e == nil || q.Method != http.MethodGet {
		s.fail(w, &failure{status: 501, code: 7000, text: "the lab does not serve " + q.Method + " " + q.path})
		return
	}
	if text := e.check(q.URL.Query()); text != "" {
		s.fail(w, &failure{status: 400, code: 9000, text: "Invalid request: " + text})
		return
	}
	if err := s.allowed(q); err != nil {
		s.fail(w, err)
		return
	}
	if err := s.play(w, q); err != nil {
		s.fail(w, err)
	}
}

// envelope is every JSON answer.
type envelope struct {
	Success  bool `json:"success"`
	Errors   any  `json:"errors"`
	Messages any  `json:"messages"`
	Result   any  `json:"result"`
	Info     any  `json:"result_info,omitempty"`
}

type apiError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (s *Server) fail(w http.ResponseWriter, err error) {
	if errors.Is(err, errAnswered) {
		return
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{status: 500, code: 10000, text: err.Error()}
	}
	if f.retry != "" {
		w.Header().Set("Retry-After", f.retry)
	}
	env := envelope{Errors: []any{apiError{f.code, f.text}}, Messages: []any{}}
	if f.bare {
		env.Errors = []string{f.text}
	}
	write(w, f.status, env)
}

func write(w http.ResponseWriter, status int, env envelope) {
	data, err := json.Marshal(env)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // a client that left sees it
}

func (s *Server) good(w http.ResponseWriter, result, info any) {
	write(w, http.StatusOK, envelope{Success: true, Errors: []any{}, Messages: []any{}, Result: result, Info: info})
}

// allowed checks the token, and what it may do.
func (s *Server) allowed(q *request) error {
	secret, ok := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer ")
	if !ok || secret == "" {
		return &failure{status: 400, code: 6003, text: "Invalid request headers"}
	}
	var tokens map[string][]string
	if err := s.state.read("tokens.json", &tokens); err != nil {
		return err
	}
	denied, ok := tokens[secret]
	if !ok {
		return &failure{status: 401, code: 1000, text: "Invalid API Token"}
	}
	for _, pattern := range denied {
		if fault.Match(pattern, q.Method+" "+q.path) {
			return &failure{status: 403, code: 10000, text: "Authentication error"}
		}
	}
	return nil
}
