package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
)

const (
	faultTrailer = "Runner-Fault"
	maxConfig    = 4 << 20 // bytes
)

// Serve is the child: it answers on the connection until that ends. Errors of stores go
// to the parent, not here.
func Serve(conn net.Conn, open Open) error {
	s := &server{open: open, keep: make(chan Login), kept: make(chan error)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /open", s.answer(s.opens))
	mux.HandleFunc("GET /keep", s.answer(s.keeps))
	mux.HandleFunc("POST /kept", s.answer(s.stored))
	mux.HandleFunc("PUT /file", s.answer(s.put))
	mux.HandleFunc("GET /file", s.get)
	mux.HandleFunc("DELETE /file", s.answer(func(r *http.Request) (any, error) { return nil, s.engine.Delete(r.Context(), name(r)) }))
	mux.HandleFunc("GET /stat", s.answer(func(r *http.Request) (any, error) { return s.engine.Stat(r.Context(), name(r)) }))
	mux.HandleFunc("GET /list", s.answer(func(r *http.Request) (any, error) { return s.engine.List(r.Context(), name(r)) }))
	mux.HandleFunc("POST /rename", s.answer(func(r *http.Request) (any, error) {
		return nil, s.engine.Rename(r.Context(), name(r), r.FormValue("to"))
	}))
	mux.HandleFunc("GET /space", s.answer(func(r *http.Request) (any, error) {
		free, total, err := s.engine.Space(r.Context())
		return space{free, total}, err
	}))
	mux.HandleFunc("POST /maintain", s.answer(func(r *http.Request) (any, error) {
		m, ok := s.engine.(Maintainer)
		if !ok {
			return int64(0), nil
		}
		return m.Maintain(r.Context())
	}))
	mux.HandleFunc("POST /packs", s.answer(func(r *http.Request) (any, error) {
		var folders []string
		if err := json.NewDecoder(io.LimitReader(r.Body, maxAnswer)).Decode(&folders); err != nil {
			return nil, fmt.Errorf("read the names of folders: %w", err)
		}
		p, ok := s.engine.(Packer)
		if !ok {
			return []string{}, nil
		}
		return p.Packs(r.Context(), folders)
	}))
	mux.HandleFunc("GET /sum", s.answer(func(r *http.Request) (any, error) { return s.engine.Sum(r.Context(), name(r)) }))

	ended := make(chan struct{})
	l := &one{conn: &watched{Conn: conn, ended: ended}, ended: ended}
	h := &http.Server{Handler: s.opened(mux), Protocols: unencrypted(), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 64,
		MaxReceiveBufferPerStream: 1 << 20, MaxReceiveBufferPerConnection: 4 << 20, MaxReadFrameSize: 256 << 10}}
	err := h.Serve(l)
	if s.engine != nil {
		err = errors.Join(err, s.engine.Close())
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func unencrypted() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

type space struct{ Free, Total int64 }

type server struct {
	open   Open
	mu     sync.Mutex
	engine Engine
	keep   chan Login // to the parent
	kept   chan error // from it
	saving sync.Mutex
}

// opened refuses verbs before there is a store.
func (s *server) opened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		ready := s.engine != nil
		s.mu.Unlock()
		if path := r.URL.Path; !ready && path != "/open" && path != "/keep" && path != "/kept" {
			http.Error(w, "not open", http.StatusConflict)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func name(r *http.Request) string { return r.URL.Query().Get("name") }

func number(r *http.Request, key string) int64 {
	n, err := strconv.ParseInt(r.URL.Query().Get(key), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// answer makes a handler of what gives a result or an error.
func (s *server) answer(do func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		result, err := do(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			result = faultOf(err)
		}
		_ = json.NewEncoder(w).Encode(result) // the parent sees that it is gone
	}
}

func (s *server) opens(r *http.Request) (any, error) {
	var cfg Config
	if err := json.NewDecoder(io.LimitReader(r.Body, maxConfig)).Decode(&cfg); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	// The engine outlives the request that opens it.
	e, err := s.open(context.WithoutCancel(r.Context()), cfg, s.save)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engine = e
	return e.Facts(), nil
}

// save gives a login that changed to the parent, and waits until it is stored.
func (s *server) save(l Login) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.keep <- l
	return <-s.kept
}

func (s *server) keeps(r *http.Request) (any, error) {
	select {
	case l := <-s.keep:
		return l, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (s *server) stored(r *http.Request) (any, error) {
	var err error
	if why := r.URL.Query().Get("why"); why != "" {
		err = errors.New(why)
	}
	select {
	case s.kept <- err:
		return nil, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (s *server) put(r *http.Request) (any, error) {
	n, err := s.engine.Put(r.Context(), name(r), number(r, "offset"), number(r, "size"), r.Body)
	return n, err
}

// get streams a file; what goes wrong in the middle comes as a trailer.
func (s *server) get(w http.ResponseWriter, r *http.Request) {
	rc, err := s.engine.Get(r.Context(), name(r), number(r, "offset"), number(r, "length"))
	if err != nil {
		s.answer(func(*http.Request) (any, error) { return nil, err })(w, r)
		return
	}
	w.Header().Set("Trailer", faultTrailer)
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{rc}, make([]byte, 256<<10))
	if cerr := rc.Close(); err == nil {
		err = cerr
	}
	end := []byte("{}")
	if err != nil {
		if end, err = json.Marshal(faultOf(err)); err != nil {
			end = []byte(`{"said":"it failed"}`)
		}
	}
	w.Header().Set(faultTrailer, string(end))
}

// one is a listener of one connection. Its second Accept ends with the connection.
type one struct {
	conn  net.Conn
	ended chan struct{}
	once  sync.Once
}

func (l *one) Accept() (c net.Conn, err error) {
	l.once.Do(func() { c = l.conn })
	if c != nil {
		return c, nil
	}
	<-l.ended
	return nil, io.EOF
}

func (l *one) Close() error   { return nil }
func (l *one) Addr() net.Addr { return l.conn.LocalAddr() }

// watched says when it was closed.
type watched struct {
	net.Conn
	once  sync.Once
	ended chan struct{}
}

func (w *watched) Close() error {
	defer w.once.Do(func() { close(w.ended) })
	return w.Conn.Close()
}
