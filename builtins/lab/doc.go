// Package lab is a simulated site.
package lab
