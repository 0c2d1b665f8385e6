package proxmox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/neosofia/runner/builtins/lab/fault"
)

// request is one call whose parameters have passed the schema.
type request struct {
	ctx    context.Context
	method string
	path   string // without /api2/json
	m      *method
	user   *user
	s      *state
	vars   map[string]string // the {names} of the path
	params url.Values        // all parameters, those of the path included
}

func (r *request) get(name string) string { return r.params.Get(name) }
func (r *request) node() string           { return r.vars["node"] }

func (r *request) vmid() int {
	first, _, _ := strings.Cut(r.params.Get("vmid"), ",")
	n, _ := strconv.Atoi(first)
	return n
}

func (r *request) bool(name string) bool {
	v, _ := parseBool(r.params.Get(name))
	return v
}

func (r *request) int(name string, def int) int {
	if n, err := strconv.Atoi(r.params.Get(name)); err == nil {
		return n
	}
	return def
}

// total makes a list answer carry "total" beside "data".
type withTotal struct {
	data  any
	total int
}

// deeds of requests, before and after the work.
var beforeDeeds = []string{"cut-before", "answer", "hang", "slow", "lock", "move", "no-task"}
var afterDeeds = []string{"cut", "answer-after", "hang-after"}

// answer handles one request; nil cuts the connection.
func (c *Cluster) answer(ctx context.Context, r *http.Request, body []byte) *answer {
	path, isAPI := strings.CutPrefix(r.URL.EscapedPath(), "/api2/json")
	if !isAPI {
		return &answer{status: 501, reason: "no such uri"}
	}
	plain, err := url.PathUnescape(path)
	if err != nil {
		return &answer{status: 400, reason: "bad request"}
	}
	if plain == "" {
		plain = "/"
	}
	place := r.Method + " " + plain
	before, err := c.cfg.Faults.Due(place, beforeDeeds...)
	if err != nil {
		return c.result(nil, err)
	}
	if a, done := c.before(ctx, before); done {
		return a
	}
	data, err := c.handle(ctx, r, path, plain, body, before)
	if ctx.Err() != nil {
		return nil
	}
	after, ferr := c.cfg.Faults.Due(place, afterDeeds...)
	if ferr != nil {
		return c.result(nil, ferr)
	}
	for _, d := range after {
		switch d.Name {
		case "cut":
			return nil
		case "hang-after":
			<-ctx.Done()
			return nil
		case "answer-after":
			return deedAnswer(d)
		}
	}
	return c.result(data, err)
}

// before does the deeds that come before the work; done ends the request.
func (c *Cluster) before(ctx context.Context, due []fault.Deed) (a *answer, done bool) {
	for _, d := range due {
		switch d.Name {
		case "cut-before":
			return nil, true
		case "hang":
			<-ctx.Done()
			return nil, true
		case "answer":
			return deedAnswer(d), true
		case "slow":
			wait, err := d.Duration(0)
			if err == nil {
				err = c.cfg.Sleep(ctx, wait)
			}
			if err != nil {
				return nil, true
			}
		}
	}
	return nil, false
}

// deedAnswer reads "595 text" into an answer. The statuses of the proxy and
// 401 have no body.
func deedAnswer(d fault.Deed) *answer {
	code, text, _ := strings.Cut(d.Args, " ")
	status, err := strconv.Atoi(code)
	if err != nil || status < 100 || status > 999 {
		status, text = 500, "fault "+d.Name+" names no status: "+d.Args
	}
	if text == "" {
		text = map[int]string{
			401: "Authentication failed!", 403: "Permission check failed", 500: "internal error",
			595: "Errors during connection establishment, proxy handshake: No route to host", 596: "Connection timed out",
		}[status]
	}
	a := &answer{status: status, reason: text}
	if status != 401 && status < 590 {
		a.body = map[string]any{"data": nil, "message": text + "\n"}
	}
	return a
}

// result turns what a handler gives into an answer.
func (c *Cluster) result(data any, err error) *answer {
	if err == nil {
		body := map[string]any{"data": data}
		if t, ok := data.(withTotal); ok {
			body["data"] = t.data
			if t.total > 0 {
				body["total"] = t.total
			}
		}
		return &answer{status: 200, reason: "OK", body: body}
	}
	var r *refusal
	if !errors.As(err, &r) {
		r = &refusal{status: 500, message: err.Error()}
	}
	a := &answer{status: r.status, reason: r.reason()}
	if r.empty {
		return a
	}
	message := strings.TrimRight(r.message, "\n") + "\n"
	if r.status == 501 {
		message = r.message
	}
	a.body = map[string]any{"data": nil, "message": message}
	if r.errors != nil {
		a.body["errors"] = r.errors
	}
	return a
}

// handle does everything between the wire and the handler, in PVE's order:
// login, method, permission, node, parameters.
func (c *Cluster) handle(ctx context.Context, hr *http.Request, path, plain string, body []byte, due []fault.Deed) (any, error) {
	s, err := c.state()
	if err != nil {
		return nil, err
	}
	u, text := login(s, hr.Header)
	if u == nil {
		if err := c.cfg.Sleep(ctx, c.cfg.AuthDelay); err != nil {
			return nil, err
		}
		return nil, &refusal{status: 401, message: text, empty: true}
	}
	if hr.Method == "DELETE" && len(body) > 0 {
		return nil, &refusal{status: 501, message: "Unexpected content for method 'DELETE'"}
	}
	r := &request{ctx: ctx, method: hr.Method, path: plain, user: u, s: s}
	template, err := c.route(r, path)
	if err != nil {
		return nil, err
	}
	if r.params, err = parameters(hr, body); err != nil {
		return nil, err
	}
	for name, v := range r.vars {
		r.params.Set(name, v)
	}
	if err := r.m.Permissions.permit(u, r.vars); err != nil {
		return nil, err
	}
	if n, ok := r.vars["node"]; ok && !s.hasNode(n) && n != "localhost" {
		return nil, failf("hostname lookup '%s' failed - failed to get address info for: %s: Temporary failure in name resolution", n, n)
	}
	if errs := r.m.check(r.params); len(errs) > 0 {
		return nil, badParams(errs)
	}
	if err := c.disturb(r, due); err != nil {
		return nil, err
	}
	if _, ok := deed(due, "no-task"); ok {
		return "OK", nil
	}
	return c.dispatch(template, r)
}

// route finds the method of a request in the schema.
func (c *Cluster) route(r *request, path string) (string, error) {
	var parts []string
	for _, p := range strings.Split(strings.Trim(path, "/"), "/") {
		dec, err := url.PathUnescape(p)
		if err != nil {
			return "", &refusal{status: 400, message: "bad request"}
		}
		parts = append(parts, dec)
	}
	template, vars := c.schema.find(parts)
	if template == "" {
		template, vars = c.schema.findVolume(parts)
	}
	m, known := c.schema.Paths[template][r.method]
	switch {
	case !known:
		return "", notImplemented(r.method, r.path)
	case m == nil:
		return "", notServed(r.method, r.path)
	}
	r.m, r.vars = m, vars
	if vars["node"] == "localhost" {
		r.vars["node"] = r.s.nodes()[0]
	}
	return template, nil
}

// parameters reads the query and the body of a request.
func parameters(hr *http.Request, body []byte) (url.Values, error) {
	params, err := parseForm(hr.URL.RawQuery)
	if err != nil || len(body) == 0 {
		return params, err
	}
	var form url.Values
	if kind, _, _ := strings.Cut(hr.Header.Get("Content-Type"), ";"); kind == "application/json" {
		form, err = parseJSONBody(body)
	} else {
		form, err = parseForm(string(body))
	}
	if err != nil {
		return nil, err
	}
	for k, v := range form {
		if params[k] != nil {
			return nil, badParam(k, "duplicate parameter (already defined in URI) with conflicting values!")
		}
		params[k] = v
	}
	return params, nil
}

// parseForm splits at "&" and at an unescaped ";", as PVE does.
func parseForm(s string) (url.Values, error) {
	out := url.Values{}
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == '&' || r == ';' }) {
		k, v, _ := strings.Cut(part, "=")
		v, _, _ = strings.Cut(v, "=") // what follows a second one is lost, as in PVE
		key, err := url.QueryUnescape(k)
		if err != nil {
			return nil, &refusal{status: 400, message: "bad request"}
		}
		value, err := url.QueryUnescape(v)
		if err != nil {
			return nil, &refusal{status: 400, message: "bad request"}
		}
		out.Add(key, value)
	}
	return out, nil
}

func parseJSONBody(body []byte) (url.Values, error) {
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, &refusal{status: 400, message: "unable to parse JSON body"}
	}
	out := url.Values{}
	for k, v := range m {
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, e := range list {
			switch e := e.(type) {
			case string:
				out.Add(k, e)
			case bool:
				out.Add(k, map[bool]string{true: "1", false: "0"}[e])
			case float64:
				out.Add(k, strconv.FormatFloat(e, 'f', -1, 64))
			default:
				return nil, badParam(k, fmt.Sprintf("type check ('string') failed - got %T", e))
			}
		}
	}
	return out, nil
}

// findVolume finds the content paths, whose last part may hold slashes that
// the client did not escape.
func (s *apiSchema) findVolume(parts []string) (string, map[string]string) {
	const template = "/nodes/{node}/storage/{storage}/content/{volume}"
	if len(parts) < 6 || parts[0] != "nodes" || parts[2] != "storage" || parts[4] != "content" {
		return "", nil
	}
	return template, map[string]string{"node": parts[1], "storage": parts[3], "volume": strings.Join(parts[5:], "/")}
}

// disturb does the deeds that change the site just before a request's work.
func (c *Cluster) disturb(r *request, due []fault.Deed) error {
	for _, d := range due {
		var err error
		switch d.Name {
		case "move":
			if !r.s.hasNode(d.Args) {
				err = c.AddNode(d.Args)
			}
			if err == nil {
				err = c.MoveGuest(r.vmid(), d.Args)
			}
		case "lock":
			err = c.lockFor(r.vmid(), d.Args)
		default:
			continue
		}
		if err != nil {
			return err
		}
		if r.s, err = c.state(); err != nil {
			return err
		}
	}
	return nil
}
