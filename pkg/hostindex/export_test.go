package hostindex

// WithSteps are the options of a check that gives up after so many steps.
func WithSteps(o CheckOptions, n int64) CheckOptions {
	o.steps = n
	return o
}
