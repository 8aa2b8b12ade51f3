from bench import profile
profile.main(30)
