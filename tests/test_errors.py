from retriever import errors


def test_every_error_is_exported_and_has_an_exit_code() -> None:
    found = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert found == set(errors.__all__) - {"nearest"}
    assert all(getattr(errors, name).exit_code in (1, 2, 3) for name in found)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert all(name in (errors.__doc__ or "") for name in set(errors.__all__) - {"nearest"})


def test_nearest_names_a_close_word_or_all() -> None:
    assert "did you mean 'gap'" in errors.nearest("gpa", ["gap", "band"])
    assert errors.nearest("zzz", ["gap", "band"]) == " (known: band, gap)"
