package sandbox_test

func show() {}
